"""Rights by path: which right is asked for, and does the backend see no path that the right is not for?"""

from __future__ import annotations

import asyncio
import itertools
import re
from posixpath import normpath
from urllib.parse import unquote_to_bytes

import pytest

from bastion.authz.authorizer import Decision
from bastion.kube.accesspolicy import AccessPolicy
from bastion.kube.attributes import Attributes
from bastion.kube.pathgroups import parse_path_groups
from bastion.kube.requestinfo import ApiCall, Proxied, RequestInfo
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.proxy.permit import Permits
from bastion.runtime.turns import USER
from tests import fakes
from tests.fakes import Backend, Decides, run, until
from tests.proxy.remembering import House, always, house

RULES = "metrics=/metrics,/-/healthy; admin=/admin/*; app=/*"
GROUPS = parse_path_groups(RULES)


def policy_of(attributes: Attributes) -> AccessPolicy:
    return AccessPolicy(GROUPS) if attributes.resource == "services" else AccessPolicy()


ALICE = User("alice")
SERVICE = Attributes("get", "", "v1", "ns", "services", "proxy", "web")


def decide(info: RequestInfo, *rights: str, asked: Attributes = SERVICE) -> tuple[list[str], int]:
    """(the rights that were asked for, the code: 200 where it is allowed)."""
    authorizer = Decides(lambda user, attributes: attributes.subresource in rights)
    permits = Permits(authorizer, policy_of)
    try:
        permitted = asyncio.run(permits.permit(ALICE, info, asked, (USER, "alice")))
        assert permitted.question[1].subresource in rights
        code = 200
    except StatusError as error:
        code = error.code
        if code == 403:
            assert error.message.count("services/proxy") and "proxy-" not in error.message
    return [attributes.subresource for attributes in authorizer.asked], code


def path(rest: bytes) -> Proxied:
    return Proxied(SERVICE, b"/prefix", rest, True)


EACH = ["proxy-metrics", "proxy-admin", "proxy-app", "proxy"]


@pytest.mark.parametrize(
    ("info", "rights", "asked", "code"),
    [
        (path(b"/metrics?x=/admin"), ["proxy-metrics"], ["proxy-metrics"], 200),
        (path(b"/metrics"), ["proxy"], ["proxy-metrics", "proxy"], 200),
        (path(b"/metrics"), ["proxy-app", "proxy-admin"], ["proxy-metrics", "proxy"], 403),
        (path(b"/admin/x"), ["proxy-metrics"], ["proxy-admin", "proxy"], 403),
        (path(b"/x"), ["proxy-app"], ["proxy-app"], 200),
        (path(b""), ["proxy-app"], ["proxy-app"], 200),
        (path(b"?x"), ["proxy-app"], ["proxy-app"], 200),
        (path(b"/ADMIN"), ["proxy-app"], ["proxy"], 403),
        (path(b"/ADMIN"), ["proxy"], ["proxy"], 200),
        # a spelling with two readings: 400 to those who have some right to the service
        (path(b"/x/../admin"), ["proxy-app"], EACH[:3], 400),
        (path(b"/x/../admin"), ["proxy"], EACH, 400),
        (path(b"/x/../admin"), [], EACH, 403),
        # what is not one path is a matter of the whole service
        (ApiCall(SERVICE), ["proxy-app"], ["proxy"], 403),
        (ApiCall(SERVICE), ["proxy"], ["proxy"], 200),
    ],
)
def test_the_group_is_asked_for_first(
    info: RequestInfo, rights: list[str], asked: list[str], code: int
) -> None:
    assert decide(info, *rights) == (asked, code)


def test_a_pods_right_is_its_own() -> None:
    pods = Attributes("get", "", "v1", "ns", "pods", "proxy", "web-0")
    authorizer = Decides(lambda user, attributes: attributes == pods)
    permits = Permits(authorizer, policy_of)
    permitted = asyncio.run(permits.permit(ALICE, path(b"/metrics"), pods, (USER, "alice")))
    assert permitted.question == (ALICE, pods)


def test_no_decision_is_no_yes() -> None:
    class Down:
        async def authorize(self, user: User, attributes: Attributes, asker: object) -> Decision:
            raise StatusError(503, "ServiceUnavailable", "away")

    permits = Permits(Down(), policy_of)
    with pytest.raises(StatusError) as caught:
        asyncio.run(permits.permit(ALICE, path(b"/metrics"), SERVICE, (USER, "alice")))
    assert caught.value.code == 503


# --- on a connection: what the backend saw against what was allowed

# Spellings that proxies and backends have read differently, around a path that is a group's.
CONFUSING = [
    "/metrics",
    "/metrics/",
    "/metrics/../admin/x",
    "/metrics/..%2fadmin/x",
    "/metrics/%2e%2e/admin",
    "/metrics/.%2e/%2e./admin",
    "/metrics/..%5cadmin",
    "/metrics/..\\admin",
    "/metrics/..;/admin",
    "/metrics;/../admin",
    "/metrics;x=y",
    "/metrics%3b",
    "/metrics/.",
    "/metrics/./x",
    "/metrics/..",
    "/metrics/...",
    "/metrics.",
    "/metrics%00",
    "/metrics%09",
    "/metrics%20",
    "/metrics%0a",
    "/metrics%23",
    "/metrics%3f/admin",
    "/metrics?/../admin",
    "/metrics??x",
    "/metrics#/admin",
    "//metrics",
    "//admin/x",
    "/x//admin",
    "/%61dmin",
    "/%2561dmin",
    "/admin%2fx",
    "/admin%252fx",
    "/a\xaddmin",
    "/%c0%afadmin",
    "/%e0%80%ae%e0%80%ae/admin",
    "/%ef%bc%8fadmin",
    "/%u002e%u002e/admin",
    "/..%e2%88%95admin",
    "/%zz",
    "/%",
    "/ADMIN",
    "/Admin/x",
    "/METRICS",
    "/admin",
    "/admin/",
    "/admin/x",
    "/adminx",
    "/a+b",
    "/",
    "",
    "?x",
    "/x?a=1&a=2;b=3",
    "/x?%zz",
    "/" + "a" * 3000,
    "/a" * 1500,
]
# What hostile clients send behind …/proxy, here behind paths of groups as well.
HOSTILE = [
    "/../../../../../../api/v1/secrets",
    "/%2e%2e/%2e%2e/x",
    "/.%2e/%2e./x",
    "/..%2f..%2fx",
    "/..%5c..%5cx",
    "/..\\..\\x",
    "/..;/..;/x",
    "/..%3b/x",
    "/.;/x",
    "/..",
    "/.",
    "/a/./b/../c",
    "/%e0%80%ae%e0%80%ae/x",
    "/%ef%bc%8e%ef%bc%8e/x",
    "/%u002e%u002e/x",
    "/..%00/x",
    "/%2e%2e%09/x",
    "/..%e2%88%95x",
    "/%ff%fe",
    "/%252e%252e%252fx",
    "//a//b",
    "/a;b=c/d",
    "/a+b",
    "/?a=1&a=2;b=3",
    "/?%zz",
    "/%zz",
    "/?",
    "/a?b?c",
    "/" + "a" * 70_000,
    "/?" + "a=1&" * 5_000,
]
SPELLINGS = [*CONFUSING, *(front + tail for front in ("", "/metrics", "/admin/x") for tail in HOSTILE)]
HOLDERS = {
    name: frozenset(rights)
    for count in (0, 1)
    for rights in itertools.combinations(EACH, count)
    for name in [" ".join(rights) or "nothing"]
}


def readings(path: bytes) -> set[bytes]:
    """As backends may read it: decoded once or twice, without parameters, with dots taken out, in small
    letters, with a slash at the end or without.
    """
    found = {path}
    for step in (
        unquote_to_bytes,
        unquote_to_bytes,
        lambda one: one.replace(b"\\", b"/"),
        lambda one: re.sub(rb";[^/]*", b"", one),
        lambda one: b"/" + normpath(one).lstrip(b"/."),
        bytes.lower,
        lambda one: one.rstrip(b"/. ") or b"/",
    ):
        found |= set(map(step, found))
    return found


def lead(h: House, server: Backend, rules: str | None = RULES) -> None:
    said = {"bastion.dev/path-groups": rules} if rules is not None else None
    fakes.put(h.catalog, "services", fakes.service("web", {"port": 80}, annotations=said))
    h.lead("web-0", server)
    slice = fakes.endpoints("web", {None: server.port}, fakes.backed_by("web-0", fakes.LOOPBACK))
    fakes.put(h.catalog, "endpointslices", slice)


@pytest.mark.parametrize("rights", HOLDERS.values(), ids=HOLDERS)
def test_a_backend_sees_no_path_that_the_right_is_not_for(rights: frozenset[str]) -> None:
    async def main() -> None:
        async with always() as server, house() as h:
            lead(h, server)
            h.may = lambda user, attributes: attributes.subresource in rights
            for spelling, again in itertools.product(SPELLINGS, (False, True)):
                before, client = len(server.heads), await h.connect()
                code = await client.ask("services/web", path=spelling)
                client.leave()
                seen = [head.split(b" ")[1].partition(b"?")[0] for head in server.heads[before:]]
                assert (code == 200) == bool(seen), (spelling, code)
                assert code in (200, 301, 400, 403, 414, 431), (spelling, again, code)
                for path in seen:
                    right = GROUPS.group(path)
                    assert {"proxy", f"proxy-{right}"} & rights, (spelling, path)
                    if "proxy" not in rights:
                        assert {GROUPS.group(one) for one in readings(path)} == {right}, (spelling, path)
                    assert path == spelling.partition("?")[0].encode("latin-1")

    run(main())


@pytest.mark.parametrize("remember", [True, False])
@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("app=/*", "app=/*; admin=/x", 403),
        ("app=/*", None, 403),
        ("app=/*", "app=/*;;=", 403),
        ("app=/*", "app=/x", 200),
        (None, "app=/*", 200),
    ],
)
def test_the_groups_are_those_that_the_service_has_now(
    before: str | None, after: str | None, code: int, remember: bool
) -> None:
    async def main() -> None:
        async with always() as server, house(remember=remember) as h:
            h.may = lambda user, attributes: attributes.subresource == "proxy-app"
            lead(h, server, before)
            client = await h.connect()
            first = 200 if before else 403
            assert [await client.ask("services/web") for _ in range(3)] == [first] * 3
            lead(h, server, after)
            assert [await client.ask("services/web") for _ in range(3)] == [code] * 3

    run(main())


def test_what_generated_clients_encode_is_decoded_only_where_there_are_no_groups() -> None:
    async def main() -> None:
        async with always() as server, house() as h:
            client = await h.connect()
            agent = "User-Agent: OpenAPI-Generator/1.0"
            for rules, code in ((None, 200), ("app=/*", 400), ("=", 200)):
                lead(h, server, rules)
                assert await client.ask("services/web", agent, path="/a%2Fb") == code
            assert [head.split(b" ")[1] for head in server.heads] == [b"/a/b"] * 2
            await until(lambda: h.nothing_is_held)

    run(main())
