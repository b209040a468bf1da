"""All ways to prove who one is, together: which comes first, and what is never anonymous."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from bastion.authn.authenticator import Credentials
from bastion.authn.authenticators import Authenticators, open_authenticators
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.cluster.errors import ApiError
from bastion.kube.user import User, anonymous
from bastion.runtime.errors import StartError
from bastion.settings.authentication import Authentication, FrontProxy
from bastion.settings.issuer import Issuer
from tests.authn.certificates import Issued, authority, issue
from tests.fakes import SOMEBODY, Reviews, owner, refused, run, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")

NOW = time.time()
USERS, PROXIES = authority("users", now=NOW), authority("proxies", now=NOW)
ERIN = (issue(USERS, "erin", "devs", now=NOW).der,)
NAMELESS = (issue(USERS, None, now=NOW).der,)
PROXY = (issue(PROXIES, "aggregator", now=NOW).der,)
STRANGE = (issue(authority("strange", now=NOW), "erin", now=NOW).der,)
FRANK = User("frank")
BOB = {"authenticated": True, "audiences": ["api"], "user": {"username": "bob"}}
NO = {"authenticated": False}
DOWN = ApiError("connection refused")


@pytest.fixture
def settings(tmp_path: Path) -> Authentication:
    for name, one in (("users", USERS), ("proxies", PROXIES)):
        (tmp_path / name).write_bytes(one.pem)
    (tmp_path / "tokens").write_text("in-the-file,tess,1\n")
    return Authentication(
        tmp_path / "users",
        FrontProxy(tmp_path / "proxies", ("X-Remote-User",), ("X-Remote-Group",)),
        audiences=("api",),
    )


def opened(
    talk: Callable[[Authenticators, Reviews], Awaitable[T]],
    settings: Authentication,
    *answers: object,
    anonymous: bool = True,
) -> T:
    async def main() -> T:
        async with AsyncExitStack() as stack:
            api = Reviews(*answers)  # type: ignore[arg-type]
            file = (
                settings.client_authority.parent / "tokens" if settings.client_authority is not None else None
            )
            return await talk(
                await open_authenticators(settings, file, api, stack, anonymous=anonymous, ttl=10.0), api
            )

    return run(main())


# what is carried, what the API server says of the token, whose it is; 503 where that cannot be known, None
# for nobody's
UNION: dict[str, tuple[Credentials, object, str | int | None]] = {
    "C-UN-4 nothing": (Credentials(), NO, "system:anonymous"),
    "a certificate": (Credentials(certificate=ERIN), NO, "erin"),
    "a token": (Credentials("t"), BOB, "bob"),
    "a token of the file": (Credentials("in-the-file"), NO, "tess"),
    "a front proxy": (Credentials(certificate=PROXY, asserted=FRANK), NO, "frank"),
    "C-UN-2 a certificate before a token": (Credentials("t", certificate=ERIN), BOB, "erin"),
    "C-UN-2 a front proxy before a token": (
        Credentials("t", certificate=PROXY, asserted=FRANK),
        BOB,
        "frank",
    ),
    "C-UN-2 a certificate beside a bad token": (Credentials("bad", certificate=ERIN), NO, "erin"),
    "C-UN-2 a certificate while the API server is away": (Credentials("t", certificate=ERIN), DOWN, "erin"),
    "C-UN-1 a token beside a certificate of strangers": (Credentials("t", certificate=STRANGE), BOB, "bob"),
    "C-UN-1 a token beside a nameless certificate": (Credentials("t", certificate=NAMELESS), BOB, "bob"),
    "C-UN-1 a token beside a front proxy that names nobody": (
        Credentials("t", certificate=PROXY),
        BOB,
        "bob",
    ),
    "C-UN-1 a users' certificate with a front proxy's headers": (
        Credentials(certificate=ERIN, asserted=FRANK),
        NO,
        "erin",
    ),
    "C-UN-3 a file's token while the API server is away": (Credentials("in-the-file"), DOWN, "tess"),
    "C-UN-5 all of it bad": (Credentials("bad", certificate=STRANGE, asserted=FRANK), NO, None),
    "C-UN-6, C-UN-7 all of it bad, one undecided": (Credentials("t", certificate=STRANGE), DOWN, 503),
    "a bad token is not anonymous": (Credentials("bad"), NO, None),
    "a token that could not be looked up is not anonymous": (Credentials("t"), DOWN, 503),
    "a bad certificate is not anonymous": (Credentials(certificate=STRANGE), NO, None),
    "a nameless certificate is not anonymous": (Credentials(certificate=NAMELESS), NO, None),
    "a front proxy that names nobody is not anonymous": (Credentials(certificate=PROXY), NO, None),
    "headers without a certificate are nothing": (Credentials(asserted=FRANK), NO, "system:anonymous"),
}


@pytest.mark.parametrize("kind", ["fresh", "remembering"])
@pytest.mark.parametrize(("credentials", "answer", "whose"), UNION.values(), ids=UNION)
def test_who_it_is(
    settings: Authentication, credentials: Credentials, answer: object, whose: str | int | None, kind: str
) -> None:
    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        authenticator = getattr(authenticators, kind)
        if isinstance(whose, int):
            with refused(whose):
                await authenticator.authenticate(credentials, SOMEBODY)
            return
        user = await owner(authenticator, credentials)
        assert (user.name if user is not None else None) == whose
        if user is not None and user != anonymous():
            assert user.groups[-1] == "system:authenticated"  # C-GR-2

    opened(talk, settings, answer)


DECISION_POINT: dict[str, tuple[object, int | None]] = {
    "TokenReview answers 500": (ApiError("the API server answered 500", 500), 503),
    "TokenReview hangs": (TimeoutError(), 503),
    "of another audience": (BOB | {"audiences": ["other"]}, None),
    "of no audience": (BOB | {"audiences": []}, None),
    "a string for a boolean": (BOB | {"authenticated": "true"}, 503),
    "no status": (b'{"status":null}', 503),
    "an empty one": ({}, None),
    "a redirect": (ApiError("the API server answered 302", 302), 503),
}


@pytest.mark.parametrize(("answer", "code"), DECISION_POINT.values(), ids=DECISION_POINT)
def test_what_is_no_clear_yes_is_none(settings: Authentication, answer: object, code: int | None) -> None:
    """And no failure is remembered: the next request asks again."""

    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        for _ in range(2):
            if code is None:
                assert await owner(authenticators.remembering, Credentials("t")) is None
            else:
                with refused(code):
                    await authenticators.remembering.authenticate(Credentials("t"), SOMEBODY)
        assert len(api.calls) == (1 if code is None else 2)

    opened(talk, settings, answer)


def test_without_a_flag_nobody_is_anonymous(settings: Authentication) -> None:
    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        assert await owner(authenticators.remembering, Credentials()) is None

    opened(talk, settings, NO, anonymous=False)


def test_who_is_known_at_once_is_never_made_to_wait(settings: Authentication) -> None:
    """The limit on failed authentications of one address is for the others there."""

    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        for known in (
            Credentials(certificate=ERIN),
            Credentials("in-the-file"),
            Credentials(certificate=PROXY, asserted=FRANK),
        ):
            assert authenticators.remembers(known)
        for unknown in (
            Credentials(),
            Credentials("t"),
            Credentials(certificate=STRANGE),
            Credentials(certificate=PROXY),
        ):
            assert not authenticators.remembers(unknown)
        await authenticators.remembering.authenticate(Credentials("t"), SOMEBODY)
        assert authenticators.remembers(Credentials("t"))
        assert len(api.calls) == 1

    opened(talk, settings, BOB)


def test_the_audiences_are_asked_for_and_the_headers_told(settings: Authentication) -> None:
    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        assert authenticators.headers == FrontProxyHeaders((b"x-remote-user",), (b"x-remote-group",))
        assert await owner(authenticators.fresh, Credentials("t")) is None
        assert api.calls[0][1]["spec"] == {"token": "t", "audiences": ["api"]}

    opened(talk, settings, BOB | {"audiences": ["other"]})


def test_an_issuers_tokens_are_not_asked_of_the_api_server() -> None:
    settings = Authentication(issuers=(Issuer("https://issuer.example.org", ("a",), "oidc:"),))

    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        user = await owner(authenticators.remembering, Credentials("opaque"))
        assert user is not None
        assert user.name == "bob"
        token = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlLm9yZyJ9."
        assert await owner(authenticators.remembering, Credentials(token)) is None
        assert len(api.calls) == 1

    opened(talk, settings, BOB)


BAD_ISSUER = Authentication(
    issuers=(Issuer("https://issuer.example.org", ("a",), "oidc:", certificate_authority="nonsense"),)
)


def test_an_issuers_authority_that_is_none_is_told_at_the_start() -> None:
    with pytest.raises(StartError, match=r"the authority for https://issuer.* is not a PEM"):
        opened(lambda *_: asyncio.sleep(0), BAD_ISSUER)


def test_authorities_in_common_are_refused_unless_the_front_proxies_are_named(
    settings: Authentication, tmp_path: Path
) -> None:
    for allowed in (frozenset[str](), frozenset(("aggregator",))):
        shared = Authentication(
            tmp_path / "users", FrontProxy(tmp_path / "users", ("X-Remote-User",), allowed_names=allowed)
        )
        if allowed:
            opened(lambda *_: asyncio.sleep(0), shared)
        else:
            with pytest.raises(StartError, match="--requestheader-allowed-names"):
                opened(lambda *_: asyncio.sleep(0), shared)


@pytest.mark.parametrize(
    "clients", [authority("below", PROXIES, now=NOW), authority("users", key=PROXIES.key, now=NOW)]
)
def test_a_clients_authority_below_the_front_proxies_or_of_its_key_is_refused(
    settings: Authentication, tmp_path: Path, clients: Issued
) -> None:
    (tmp_path / "users").write_bytes(clients.pem)
    with pytest.raises(
        StartError,
        match=r"^the authority .* of --client-ca-file .* --requestheader-allowed-names must say [^\n]*$",
    ):
        opened(lambda *_: asyncio.sleep(0), settings)


def test_a_user_whose_certificate_has_a_front_proxys_name_is_none(
    settings: Authentication, tmp_path: Path
) -> None:
    """The clients' authority is below that of the front proxies, whose names are told: it may certify such a
    name, too.
    """
    clients = authority("below", PROXIES, now=NOW)
    (tmp_path / "users").write_bytes(clients.pem)
    assert settings.front_proxy is not None
    named = replace(
        settings, front_proxy=replace(settings.front_proxy, allowed_names=frozenset(("aggregator",)))
    )

    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        chain = (issue(clients, "aggregator", now=NOW).der, clients.der)
        for certificate, name in ((PROXY, "frank"), (chain, "aggregator")):
            user = await owner(
                authenticators.remembering, Credentials(certificate=certificate, asserted=FRANK)
            )
            assert user is not None
            assert user.name == name

    opened(talk, named, NO)


@pytest.mark.parametrize(
    "clients", [authority("below", PROXIES, now=NOW), authority("users", key=PROXIES.key, now=NOW)]
)
def test_a_reload_that_would_make_users_front_proxies_changes_nothing(
    settings: Authentication, tmp_path: Path, caplog: pytest.LogCaptureFixture, clients: Issued
) -> None:
    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        await replaced({tmp_path / "users": clients.pem}, caplog)
        user = await owner(authenticators.remembering, Credentials(certificate=ERIN))
        assert user is not None
        assert user.name == "erin"

    opened(talk, settings, NO)
    assert "cannot be used: the authority" in caplog.text


# --- files that change


async def replaced(files: dict[Path, bytes], caplog: pytest.LogCaptureFixture) -> None:
    """Returns once it is known of all."""
    for file, content in files.items():
        file.write_bytes(content)
    await until(lambda: sum("changed and" in message for message in caplog.messages) == len(files))


def test_files_that_change_are_read_again(
    settings: Authentication, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    tom, tess, frank = (
        issue(USERS, "tom", now=NOW),
        Credentials("in-the-file"),
        Credentials(certificate=PROXY, asserted=FRANK),
    )
    users = authority("others", now=NOW)
    anna = issue(users, "anna", now=NOW)

    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        async def who(credentials: Credentials) -> str | None:
            user = await owner(authenticators.remembering, credentials)
            assert authenticators.remembers(credentials) is (user is not None)
            return user.name if user is not None else None

        tokens, certificates = (
            [tess, Credentials("added")],
            [Credentials(certificate=(one.der,)) for one in (tom, anna)],
        )
        assert [await who(one) for one in [*tokens, *certificates, frank]] == [
            "tess",
            None,
            "tom",
            None,
            "frank",
        ]
        await replaced({tmp_path / "tokens": b"added,tina,1\n", tmp_path / "users": users.pem}, caplog)
        assert [await who(one) for one in [*tokens, *certificates, frank]] == [
            None,
            "tina",
            None,
            "anna",
            "frank",
        ]

    opened(talk, settings, NO)
    assert f"the token file {tmp_path / 'tokens'} changed and was read again" in caplog.messages


def test_files_that_are_no_good_change_nothing(
    settings: Authentication, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor an authority that users and front proxies have in common: every user would be a front proxy, and so
    whoever he likes.
    """
    carried = {"tess": Credentials("in-the-file"), "erin": Credentials(certificate=ERIN, asserted=FRANK)}

    async def talk(authenticators: Authenticators, api: Reviews) -> None:
        await replaced({tmp_path / "tokens": b"hunter2\n", tmp_path / "proxies": USERS.pem}, caplog)
        for name, credentials in carried.items():
            user = await owner(authenticators.remembering, credentials)
            assert user is not None
            assert user.name == name

    opened(talk, settings, NO)
    assert "line 1: needs at least three columns" in caplog.text
    assert "--requestheader-allowed-names must say" in caplog.text
    assert "hunter2" not in caplog.text
