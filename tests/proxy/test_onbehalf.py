"""With whose authority a call goes on: whatever is shown, never with the bastion's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.authn.authenticator import Credentials, CredentialsRefused
from bastion.authz.authorizer import Decision
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.authz.modes import LEGACY
from bastion.http.fields import Field
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.observe.record import Record
from bastion.proxy.guard import Failures
from bastion.proxy.onbehalf import FRONT_PROXY, NOBODY, OWN, PLAIN, Authority, Knowledge, OnBehalf
from bastion.proxy.origin import Origins
from bastion.settings.passthrough import PassThrough
from bastion.settings.sections import Limits
from tests.fakes import refused

LIST = Attributes("list", resource="nodes")
CARLA = User("carla", "7", ("devs", "ops", "system:authenticated"), (("scopes", ("view",)),))
CHAIN = (b"certificate",)
OWN_TOKEN, BAD_TOKEN = "own", "bad"
BEARER = "Authorization: Bearer their-own"


class Known:
    """Knows a certificate and a token of its own, and refuses a bad one."""

    def __init__(self, user: User = CARLA) -> None:
        self.user = user

    async def authenticate(self, credentials: Credentials, asker: object) -> User | None:
        if credentials.token == BAD_TOKEN or credentials.certificate == (b"bad",):
            raise CredentialsRefused("it is bad")
        if credentials.certificate:
            return self.user
        return self.user if credentials.token == OWN_TOKEN else None


class Yes:
    """Allows to impersonate jane alone."""

    async def authorize(self, user: User, attributes: Attributes, asker: object) -> Decision:
        return Decision(attributes.verb != "impersonate" or attributes.name == "jane")


class Asked:
    """A request, as far as authority goes."""

    method, target, minor = "GET", b"/api/v1/nodes", 1
    host, client, scheme, upgradable, body = b"b.example", "192.0.2.1", b"https", False, None
    to_proxy = False

    def __init__(self, *lines: str, certificate: tuple[bytes, ...] = ()) -> None:
        split = (line.encode().partition(b": ") for line in lines)
        self.fields: list[Field] = [(name.lower(), name, value) for name, _, value in split]
        self.certificate = certificate


def authority(identity: str, asked: Asked, user: User = CARLA, **settings: Any) -> Authority:
    async def main() -> Authority:
        return await on_behalf(identity, user, **settings).authority(
            asked, LIST, asked.client, Record("GET", b"/", "", ""), websocket=False
        )

    return asyncio.run(main())


def on_behalf(identity: str, user: User = CARLA, limits: Limits | None = None, **settings: Any) -> OnBehalf:
    async def own() -> str:
        return "Bearer bastions-own"

    return OnBehalf(
        PassThrough(enabled=True, identity=identity, **settings),
        Knowledge(Known(user), Known(user), lambda token: None, None),
        ImpersonationAuthorizer(Yes(), (LEGACY,)),
        Origins(()),
        None,
        Failures(limits or Limits()),
        own,
        lambda: 1000.0,
    )


IDENTITIES = ["none", "impersonate", "requestheader"]


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize(
    "lines",
    [
        (),
        (BEARER,),
        ("Authorization: Basic ZGV2OmRldg==",),
        (BEARER, "Impersonate-User: jane", "Impersonate-Group: system:masters"),
        ("Cookie: __Host-bastion_session=abc",),
    ],
)
def test_what_the_bastion_does_not_know_passes_as_it_is(identity: str, lines: tuple[str, ...]) -> None:
    found = authority(identity, Asked(*lines))
    assert (found.identity, found.lines, found.with_credentials) == (PLAIN, (), True)
    assert found.impersonation
    assert found.user is NOBODY


@pytest.mark.parametrize("asked", [Asked(certificate=CHAIN), Asked(f"Authorization: Bearer {OWN_TOKEN}")])
def test_whom_it_knows_it_names(asked: Asked) -> None:
    found = authority("impersonate", asked)
    assert found.lines == (
        b"Authorization: Bearer bastions-own\r\n",
        b"Impersonate-User: carla\r\n",
        b"Impersonate-Group: devs\r\n",
        b"Impersonate-Group: ops\r\n",
    )
    assert (found.identity, found.with_credentials, found.impersonation) == (OWN, False, False)
    found = authority("requestheader", asked)
    assert found.lines == (
        b"X-Remote-User: carla\r\n",
        b"X-Remote-Group: devs\r\n",
        b"X-Remote-Group: ops\r\n",
    )
    assert (found.identity, found.with_credentials, found.impersonation) == (FRONT_PROXY, False, True)


def test_a_certificate_comes_before_a_token_that_came_with_it() -> None:
    for identity in ("impersonate", "requestheader"):
        assert authority(identity, Asked(BEARER, certificate=CHAIN)).user == CARLA
    assert authority("none", Asked(BEARER, certificate=CHAIN)).with_credentials


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Asked(f"Authorization: Bearer {BAD_TOKEN}"), 401),
        (Asked(certificate=(b"bad",)), 401),
        (Asked(BEARER, "Authorization: Bearer another"), 400),
        (Asked(BEARER, "X-Bastion-Authorization: Bearer another"), 400),
        (Asked("X-Bastion-Authorization: Basic abc"), 401),
    ],
)
def test_bad_credentials_are_nobodys(identity: str, asked: Asked, code: int) -> None:
    with refused(code):
        authority(identity, asked)


def test_without_a_way_to_name_its_user_a_certificate_is_told_so() -> None:
    with refused(401, "--pass-through-identity"):
        authority("none", Asked(certificate=CHAIN))


def test_a_token_of_its_own_header_is_the_users() -> None:
    found = authority("none", Asked("X-Bastion-Authorization: Bearer abc"))
    assert (found.lines, found.with_credentials) == ((b"Authorization: Bearer abc\r\n",), False)


@pytest.mark.parametrize("identity", ["impersonate", "requestheader"])
@pytest.mark.parametrize(
    "user",
    [
        User("system:admin"),
        User("system:node:node-a", groups=("system:nodes",)),
        User("system:serviceaccount:kube-system:x"),
        User("mallory", groups=("system:masters",)),
        User("mallory", groups=("devs", "system:nodes")),
        User("a\r\nImpersonate-Group: system:masters"),
        User("mallory", groups=("devs\r\nX: y",)),
    ],
)
def test_some_users_are_never_named(identity: str, user: User) -> None:
    with refused(403):
        authority(identity, Asked(certificate=CHAIN), user)


def test_which_groups_is_a_setting() -> None:
    user = User("olga", groups=("auditors", "system:masters"))
    assert authority("impersonate", Asked(certificate=CHAIN), user, deny_groups=("auditors2",)).user == user
    with refused(403, "auditors"):
        authority("impersonate", Asked(certificate=CHAIN), user, deny_groups=("auditors",))


def test_acting_as_another_is_asked_first() -> None:
    found = authority("impersonate", Asked("Impersonate-User: jane", certificate=CHAIN))
    assert found.lines[1:] == (b"Impersonate-User: jane\r\n",)
    assert (found.user.name, found.acting_as.name) == ("carla", "jane")
    assert found.questions
    for lines, code in (
        (("Impersonate-User: admin",), 403),
        (("Impersonate-User: jane", "Impersonate-Group: system:masters"), 403),
        (("Impersonate-Group: devs",), 400),
        (("Impersonate-Uid: 0",), 400),
        (("Impersonate-Extra-Scopes: all",), 400),
    ):
        with refused(code):
            authority("impersonate", Asked(*lines, certificate=CHAIN))


@pytest.mark.parametrize("line", ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"])
def test_another_sites_page_has_no_certificate(line: str) -> None:
    found = authority("impersonate", Asked(line, certificate=CHAIN))
    assert (found.identity, found.lines, found.user) == (PLAIN, (), NOBODY)


def test_guesses_are_counted_where_the_api_server_refuses_them() -> None:
    limits = Limits(authentication_failure_qps=1, authentication_failure_burst=3)

    async def main() -> None:
        some = on_behalf("none", limits=limits)

        async def ask(token: str) -> Authority:
            asked = Asked(f"Authorization: Bearer {token}")
            return await some.authority(
                asked, LIST, asked.client, Record("GET", b"/", "", ""), websocket=False
            )

        some.answered(await ask("good"), Asked.client, 200)
        for number in range(3):
            some.answered(await ask(f"guess-{number}"), Asked.client, 401)
        with refused(429):
            await ask("guess-3")
        assert (await ask("good")).with_credentials

    asyncio.run(main())
