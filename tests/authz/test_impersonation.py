"""As whom may a user act?

Every case of kube-apiserver's own test (C-IM-1..25), under the legacy rules, and what they leave open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bastion.authz.authorizer import Decision
from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.authz.modes import LEGACY, mode
from bastion.authz.requested import RequestedIdentity, impersonated, requested_identity
from bastion.http.fields import Field
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from tests.fakes import SOMEBODY, Decides, refused, run, unavailable
from tests.present import present

AUTHENTICATED = "system:authenticated"
EXTRAS = "authentication.k8s.io"
GET = Attributes("get", namespace="bar", resource="pods", subresource="proxy", name="foo")


def assume(
    inner: Decides,
    user: User,
    headers: list[Field],
    required: tuple[Attributes, ...] = (GET,),
) -> User:
    """Whom `user` acts as."""
    assumed = run(ImpersonationAuthorizer(inner).impersonate(user, headers, required, SOMEBODY))
    return user if assumed is None else assumed.user


def legacy(user: User, attributes: Attributes) -> bool:
    """Allows all that is not constrained."""
    return attributes.verb == "impersonate"


def decide(user: User, asked: Attributes) -> bool:
    """The authorizer of kube-apiserver's test."""
    groups = (*user.groups, "", "")
    if user.name == "system:admin":
        return True
    if user.name in ("tester", "deny-me") or asked.verb != "impersonate":
        return False
    everything = "everything-impersonater" in groups
    return (
        (
            asked.resource == "users"
            and asked.group == ""
            and (groups[0] in ("wheel", "regular-impersonater") or everything)
        )
        or (asked.resource == "serviceaccounts" and groups[0] == "sa-impersonater")
        or (
            asked.resource == "groups"
            and asked.group == ""
            and (groups[1] == "group-impersonater" or everything)
        )
        or (asked.resource == "userextras" and asked.group == EXTRAS and _extras(groups, asked))
        or (asked.resource == "uids" and asked.group == EXTRAS and asked.name == "some-uid" and everything)
    )


def _extras(groups: tuple[str, ...], asked: Attributes) -> bool:
    return (
        (
            asked.subresource == "scopes"
            and ("extra-setter-scopes" in groups or "everything-impersonater" in groups)
        )
        or (
            asked.subresource == "scopes"
            and asked.name == "scope-a"
            and "extra-setter-particular-scopes" in groups
        )
        or (asked.subresource == "project" and "extra-setter-project" in groups)
        or bool({"escaped-scopes", "almost-escaped-scopes"} & set(groups))
    )


def fields(
    user: str | None = None,
    groups: Sequence[str] = (),
    extra: Sequence[tuple[str, str]] = (),
    uid: str | None = None,
) -> list[Field]:
    found = [(b"Impersonate-User", user.encode())] if user is not None else []
    found += [(b"Impersonate-Group", group.encode()) for group in groups]
    found += [(b"Impersonate-Extra-" + key.encode(), value.encode()) for key, value in extra]
    found += [(b"Impersonate-Uid", uid.encode())] if uid is not None else []
    return [(name.lower(), name, value) for name, value in found]


def dev(*groups: Any) -> User:
    return User("dev", groups=groups)


SCOPE_A = [("scopes", "scope-a")]
SCOPES = [("scopes", "scope-a"), ("scopes", "scope-b")]
TESTER, ADMIN = User("tester"), User("system:admin")

CASES = [
    # requester, what is wanted, the resulting user or the code
    pytest.param(TESTER, fields(), TESTER, id="C-IM-1"),
    pytest.param(TESTER, fields("anyone"), 403, id="C-IM-2"),
    pytest.param(TESTER, fields(groups=["some-group"]), 400, id="C-IM-3"),
    pytest.param(TESTER, fields(extra=SCOPE_A), 400, id="C-IM-4"),
    pytest.param(TESTER, fields(uid="some-uid"), 400, id="C-IM-5"),
    pytest.param(dev("wheel"), fields("system:admin", ["some-group"]), 403, id="C-IM-6"),
    pytest.param(
        dev("wheel", "group-impersonater"),
        fields("system:admin", ["some-group"]),
        User("system:admin", groups=("some-group", AUTHENTICATED)),
        id="C-IM-7",
    ),
    pytest.param(dev("wheel"), fields("system:admin", ["some-group"], SCOPE_A), 403, id="C-IM-8"),
    pytest.param(
        dev("wheel", "extra-setter-project"),
        fields("system:admin", ["some-group"], SCOPE_A),
        403,
        id="C-IM-9",
    ),
    pytest.param(
        dev("wheel", "extra-setter-particular-scopes"),
        fields("system:admin", ["some-group"], SCOPES),
        403,
        id="C-IM-10",
    ),
    pytest.param(
        dev("wheel", "extra-setter-particular-scopes"),
        fields("system:admin", extra=SCOPES),
        403,
        id="C-IM-10-the-extra-alone",
    ),
    pytest.param(
        dev("wheel", "extra-setter-scopes"),
        fields("system:admin", extra=SCOPES),
        User("system:admin", groups=(AUTHENTICATED,), extra=(("scopes", ("scope-a", "scope-b")),)),
        id="C-IM-11",
    ),
    pytest.param(
        dev("wheel", "escaped-scopes"),
        fields("system:admin", extra=[("example.com%2fescaped%e1%9b%84scopes", "scope-a")]),
        User("system:admin", groups=(AUTHENTICATED,), extra=(("example.com/escapedᛄscopes", ("scope-a",)),)),
        id="C-IM-12",
    ),
    pytest.param(
        dev("wheel", "almost-escaped-scopes"),
        fields("system:admin", extra=[("almost%zzpercent%xxencoded", "scope-a")]),
        User("system:admin", groups=(AUTHENTICATED,), extra=(("almost%zzpercent%xxencoded", ("scope-a",)),)),
        id="C-IM-13",
    ),
    pytest.param(
        dev("regular-impersonater"), fields("tester"), User("tester", groups=(AUTHENTICATED,)), id="C-IM-14"
    ),
    pytest.param(dev("sa-impersonater"), fields("tester"), 403, id="C-IM-15"),
    pytest.param(
        dev("sa-impersonater"),
        fields("system:serviceaccount:foo:default"),
        User(
            "system:serviceaccount:foo:default",
            groups=("system:serviceaccounts", "system:serviceaccounts:foo", AUTHENTICATED),
        ),
        id="C-IM-16",
    ),
    pytest.param(
        ADMIN,
        fields("system:anonymous"),
        User("system:anonymous", groups=("system:unauthenticated",)),
        id="C-IM-17",
    ),
    pytest.param(
        ADMIN,
        fields("unknown", ["system:unauthenticated"]),
        User("unknown", groups=("system:unauthenticated",)),
        id="C-IM-18",
    ),
    pytest.param(
        ADMIN, fields("unknown", [AUTHENTICATED]), User("unknown", groups=(AUTHENTICATED,)), id="C-IM-19"
    ),
    pytest.param(
        dev("wheel", "group-impersonater"),
        fields("system:admin", ["some-group", AUTHENTICATED]),
        User("system:admin", groups=("some-group", AUTHENTICATED)),
        id="C-IM-20",
    ),
    pytest.param(
        ADMIN,
        fields("system:anonymous"),
        User("system:anonymous", groups=("system:unauthenticated",)),
        id="C-IM-21",
    ),
    pytest.param(
        ADMIN,
        fields("system:anonymous", ["system:unauthenticated"]),
        User("system:anonymous", groups=("system:unauthenticated",)),
        id="C-IM-22",
    ),
    pytest.param(
        dev("everything-impersonater"),
        fields("tester", uid="some-uid"),
        User("tester", "some-uid", (AUTHENTICATED,)),
        id="C-IM-23",
    ),
    pytest.param(dev("everything-impersonater"), fields("tester", uid="disallowed-uid"), 403, id="C-IM-24"),
    pytest.param(
        dev("everything-impersonater"),
        fields("tester", [AUTHENTICATED], SCOPES, "some-uid"),
        User("tester", "some-uid", (AUTHENTICATED,), (("scopes", ("scope-a", "scope-b")),)),
        id="C-IM-25",
    ),
    pytest.param(ADMIN, fields("", []), 400, id="an-empty-user-is-nobody"),
    pytest.param(ADMIN, fields("", ["g"]), 400, id="groups-of-an-empty-user"),
    pytest.param(User("deny-me"), fields("anyone"), 403, id="denied"),
]


@pytest.mark.parametrize(("user", "headers", "expected"), CASES)
def test_a_user_acts_as_whom_it_may(user: User, headers: list[Field], expected: Any) -> None:
    if isinstance(expected, User):
        assert assume(Decides(decide), user, headers) == expected
    else:
        with refused(expected):
            assume(Decides(decide), user, headers)


ORDINARY = [
    (b"host", b"Host", b"h"),
    (b"impersonate-foo", b"Impersonate-Foo", b"x"),
    (b"impersonate", b"Impersonate", b"x"),
]


def test_without_the_headers_nobody_is_asked() -> None:
    inner = Decides(lambda user, attributes: False)
    assert run(ImpersonationAuthorizer(inner).impersonate(TESTER, ORDINARY, (GET,), SOMEBODY)) is None
    assert inner.asked == []


def asked_for(*headers: Any) -> list[Attributes]:
    """The legacy permissions asked, while each is given."""
    inner = Decides(legacy)
    assume(inner, dev(), list(*headers))
    return [asked for asked in inner.asked if asked.verb == "impersonate"]


def impersonate(
    resource: str, name: str, group: str = "", namespace: str = "", subresource: str = ""
) -> Attributes:
    return Attributes("impersonate", group, "v1", namespace, resource, subresource, name)


def test_permissions_are_asked_in_the_order_of_1_36() -> None:
    assert asked_for(fields("u", ["g1", "g2"], SCOPES, "1")) == [
        impersonate("users", "u"),
        impersonate("uids", "1", EXTRAS),
        impersonate("groups", "g1"),
        impersonate("groups", "g2"),
        impersonate("userextras", "scope-a", EXTRAS, subresource="scopes"),
        impersonate("userextras", "scope-b", EXTRAS, subresource="scopes"),
    ]


def test_a_service_account_is_asked_for_in_its_namespace() -> None:
    assert asked_for(fields("system:serviceaccount:ns:sa")) == [
        impersonate("serviceaccounts", "sa", namespace="ns")
    ]


@pytest.mark.parametrize(
    "name", ["system:serviceaccount:ns", "system:serviceaccount:ns:a:b", "system:serviceaccount::a"]
)
def test_what_only_looks_like_a_service_account_is_a_user(name: str) -> None:
    assert asked_for(fields(name)) == [impersonate("users", name)]


@pytest.mark.parametrize("denied", range(6))
def test_one_permission_that_lacks_is_enough_and_nothing_is_asked_after_it(denied: int) -> None:
    count = iter(range(6))
    inner = Decides(lambda user, attributes: legacy(user, attributes) and next(count) != denied)
    with refused(403):
        assume(inner, dev(), fields("u", ["g1", "g2"], SCOPES, "1"))
    assert len(inner.asked) == 1 + denied + 1  # the first is the constrained mode's


def test_the_real_user_is_the_one_who_is_asked_about() -> None:
    seen = []
    assume(Decides(lambda user, attributes: seen.append(user) or True), dev("a"), fields("u", ["g"]))  # type: ignore[func-returns-value]
    assert seen == [dev("a")] * 3


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (
            fields("anyone"),
            (
                'users "anyone" is forbidden: User "dev" cannot impersonate resource "users" in API group ""'
                " at the cluster scope: no"
            ),
        ),
        (
            fields("system:serviceaccount:ns:sa"),
            (
                'serviceaccounts "sa" is forbidden: User "dev" cannot impersonate resource "serviceaccounts"'
                ' in API group "" in the namespace "ns": no'
            ),
        ),
    ],
    ids=["user", "service-account"],
)
def test_the_403_is_that_of_the_permission_that_lacks(headers: list[Field], message: str) -> None:
    """To one who was lately admitted by the legacy rules: these are tried first then."""
    inner = Decides(legacy)
    impersonator = ImpersonationAuthorizer(inner)
    run(impersonator.impersonate(dev(), fields("before"), (GET,), SOMEBODY))
    inner.decide = lambda user, attributes: Decision(False, "no")
    with refused(403, message):
        run(impersonator.impersonate(dev(), headers, (GET,), SOMEBODY))


def test_what_could_not_be_found_out_is_not_allowed() -> None:
    with refused(503):
        assume(Decides(bool, failing=unavailable("down")), dev(), fields("u"))  # type: ignore[arg-type]


TWICE = [
    [("Impersonate-User", "a"), ("Impersonate-User", "b")],
    [("Impersonate-User", ""), ("Impersonate-User", "b")],
    [("Impersonate-User", "a"), ("Impersonate-Uid", "1"), ("Impersonate-Uid", "1")],
    [("Impersonate-User", "a"), ("Impersonate-Uid", ""), ("Impersonate-Uid", "1")],
]


@pytest.mark.parametrize("lines", TWICE)
def test_two_identities_are_none(lines: list[tuple[str, str]]) -> None:
    with refused(400, "more than one"):
        requested_identity([(name.lower().encode(), name.encode(), value.encode()) for name, value in lines])


def test_a_header_that_is_no_utf8_is_refused() -> None:
    with refused(400):
        requested_identity([(b"impersonate-user", b"Impersonate-User", b"caf\xe9")])


EXTRA_KEYS = [
    (b"scopes", "scopes"),
    (b"percent%20encoded", "percent encoded"),
    (b"example.com%2fpercent%2520encoded", "example.com/percent%20encoded"),  # decoded once
    (b"almost%zzpercent%xxencoded", "almost%zzpercent%xxencoded"),
    (b"almost%2", "almost%2"),
    (b"no%ffutf8", "no%ffutf8"),
    (b"a+b", "a+b"),
]


@pytest.mark.parametrize(("raw", "key"), EXTRA_KEYS)
def test_the_key_of_an_extra_is_decoded_once(raw: bytes, key: str) -> None:
    wanted = requested_identity([(b"impersonate-user", b"", b"u"), (b"impersonate-extra-" + raw, b"", b"v")])
    assert present(wanted).extra == ((key, ("v",)),)
    tried = mode(LEGACY, dev(), present(wanted), (GET,))
    assert present(tried).steps[1].each[0].subresource == key


GROUPS = [
    pytest.param(RequestedIdentity("u"), (AUTHENTICATED,), id="a-user"),
    pytest.param(RequestedIdentity("u", ("g",)), ("g", AUTHENTICATED), id="given-groups-first"),
    pytest.param(
        RequestedIdentity("system:serviceaccount:ns:sa", ("g",)),
        ("g", AUTHENTICATED),
        id="a-service-account-with-groups-has-no-others",
    ),
    pytest.param(
        RequestedIdentity("system:anonymous", ("g",)),
        ("g", "system:unauthenticated"),
        id="anonymous-with-groups",
    ),
    pytest.param(
        RequestedIdentity("system:anonymous", (AUTHENTICATED,)),
        (AUTHENTICATED, "system:unauthenticated"),
        id="anonymous-is-always-unauthenticated",
    ),
    pytest.param(
        RequestedIdentity("u", ("system:unauthenticated",)), ("system:unauthenticated",), id="not-both"
    ),
]


@pytest.mark.parametrize(("wanted", "groups"), GROUPS)
def test_the_groups_that_result(wanted: RequestedIdentity, groups: tuple[str, ...]) -> None:
    assert impersonated(wanted) == User(wanted.user, "", groups, ())


def test_nothing_of_the_real_user_is_left() -> None:
    real = User("dev", "real-uid", ("secret-group",), (("real", ("x",)),))
    assert assume(Decides(lambda user, attributes: True), real, fields("u")) == User(
        "u", groups=(AUTHENTICATED,)
    )
