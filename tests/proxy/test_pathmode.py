"""Where does a person go who opens an application by its path?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.authn.authenticator import Credentials
from bastion.kube.hostname import HostNames
from bastion.kube.requestinfo import parse_proxied
from bastion.kube.user import User
from bastion.message.cookies import PATHS
from bastion.message.person import ErrorPage
from bastion.proxy.admission import Admitted
from bastion.proxy.pathmode import MOST, PathFacts, PathMode

PATH = b"/api/v1/namespaces/shop/services/web/proxy/a%2Fb?x=1&y="
PERSON = ((b"accept", b"text/html,*/*;q=0.8"), (b"sec-fetch-mode", b"navigate"))
HOSTS = HostNames("apps.test")


class Exchange:
    """As much of one as is looked at."""

    def __init__(self, target: bytes, fields: Any = PERSON, method: str = "GET", cookie: bytes = b"") -> None:
        self.target, self.method, self.host = target, method, b"bastion.test:8443"
        more = ((b"cookie", b"%b=%b" % (PATHS, cookie)),) if cookie else ()
        self.fields = [(name, name, value) for name, value in (*fields, *more)]
        self.upgradable, self.audit_id = False, "id"
        self.status, self.body = 0, b""
        self.said: dict[bytes, bytes] = {}

    def start(self, status: int, reason: bytes, fields: Any, length: int) -> None:
        self.status, self.said = status, {lower: value for lower, _, value in fields}

    def finish(self, body: bytes = b"") -> None:
        self.body = body


def explained(facts: PathFacts) -> ErrorPage:
    return ErrorPage((), facts.stay.encode())


def answered(exchange: Exchange, hosts: HostNames | None = HOSTS, *, session: bool = True) -> bool:
    info = parse_proxied(exchange.method, exchange.target)
    assert info is not None
    user = User("alice")
    admitted = Admitted(info, Credentials("t", session=session), user, user, (), ("user", "alice"))
    mode = PathMode(hosts, "https://bastion.test:8443", explained)
    return mode.answers(exchange, admitted, info)  # type: ignore[arg-type]


def test_with_host_names_the_page_is_at_its_own_path_and_query_kept() -> None:
    exchange = Exchange(PATH)
    assert answered(exchange)
    assert exchange.status == 307
    assert exchange.said[b"location"] == b"https://web--shop.svc.apps.test:8443/a%2Fb?x=1&y="


PROGRAMS: dict[str, dict[str, Any]] = {
    "curl": {"fields": ((b"accept", b"*/*"),)},
    "fetch": {"fields": ((b"accept", b"text/html"), (b"sec-fetch-mode", b"cors"))},
    "a form": {"method": "POST"},
}


@pytest.mark.parametrize("hosts", [HOSTS, None], ids=["host names", "none"])
@pytest.mark.parametrize("asked", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_gets_what_it_asked_for(asked: dict[str, Any], hosts: HostNames | None) -> None:
    assert not answered(Exchange(PATH, **asked), hosts)


@pytest.mark.parametrize("hosts", [HOSTS, None], ids=["host names", "none"])
def test_a_token_in_a_header_is_shown_no_page_of_ours(hosts: HostNames | None) -> None:
    assert not answered(Exchange(PATH), hosts, session=False)


@pytest.mark.parametrize("id", [b"a--b", b"x" * 60])
def test_what_makes_no_host_name_stays(id: bytes) -> None:
    assert not answered(Exchange(PATH.replace(b"/web/", b"/" + id + b"/")))


def test_without_host_names_it_is_said_once_and_the_choice_is_remembered() -> None:
    first = Exchange(PATH)
    assert answered(first, None)
    assert (first.status, first.body) == (200, PATH + b"&bastion-path=1")
    chosen = Exchange(first.body)
    assert answered(chosen, None)
    assert (chosen.status, chosen.said[b"location"]) == (303, PATH)
    cookie = chosen.said[b"set-cookie"].split(b";")[0].partition(b"=")[2]
    assert not answered(Exchange(PATH, cookie=cookie), None)
    assert not answered(Exchange(PATH, cookie=cookie), HOSTS)
    assert answered(Exchange(PATH.replace(b"/web/", b"/other/"), cookie=cookie), None)


def test_a_browser_remembers_only_so_many() -> None:
    cookie = b""
    for n in range(MOST + 5):
        exchange = Exchange(PATH.replace(b"/web/", b"/web-%d/" % n) + b"&bastion-path=1", cookie=cookie)
        assert answered(exchange, None)
        cookie = exchange.said[b"set-cookie"].split(b";")[0].partition(b"=")[2]
    assert len(cookie.split(b".")) == MOST
    assert not answered(Exchange(PATH.replace(b"/web/", b"/web-%d/" % (MOST + 4)), cookie=cookie), None)
    assert answered(Exchange(PATH.replace(b"/web/", b"/web-0/"), cookie=cookie), None)
