"""Whose request is it?

X-Bastion-Authorization, impersonation, and that no credential is ever written down.
"""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.e2e.harness import ALICE, BOB, CAROL, DAVE, LIVE, TOKENS, Bastion, Place
from tests.e2e.wire import Message, ask, assert_status, backend, client, request

BASTION = "X-Bastion-Authorization: Bearer "


async def seen_by(
    bastion: Bastion, pod: Place, *lines: str, token: str = ""
) -> tuple[Message, list[Message]]:
    async with backend(pod.address) as behind:
        return await ask(bastion, request(pod.path(), *lines, token=token)), behind.requests


@pytest.mark.parametrize(
    "own",
    [
        "Bearer the-backends-own",
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA256 Credential=x/y, Signature=z",
        f"Bearer {CAROL}",
    ],
)
def test_the_clients_own_authorization_reaches_the_backend_untouched(
    bastion: Bastion, pod: Place, own: str
) -> None:
    answer, (seen,) = asyncio.run(seen_by(bastion, pod, f"authorization: {own}", BASTION + ALICE))
    assert answer.status == 200
    assert [(name, value) for name, value in seen.fields if "authorization" in name.lower()] == [
        ("authorization", own)
    ]


def test_authorization_for_the_bastion_reaches_no_backend(bastion: Bastion, pod: Place) -> None:
    for lines, token in (((), ALICE), ((BASTION + ALICE,), "")):
        answer, (seen,) = asyncio.run(seen_by(bastion, pod, *lines, token=token))
        assert answer.status == 200
        assert not any("authorization" in name for name in seen.names())
        assert ALICE.encode() not in seen.head


REFUSED = {
    "unknown": ((BASTION + "guessed",), 401),
    "no bearer token": (("X-Bastion-Authorization: Basic dXNlcjpwYXNz",), 401),
    "empty": (("X-Bastion-Authorization:",), 401),
    "no token": (("X-Bastion-Authorization: Bearer ",), 401),
    "two": ((BASTION + ALICE, BASTION + ALICE), 400),
    "two, one of them bad": ((BASTION + ALICE, BASTION + "guessed"), 400),
    "two of Authorization": ((f"Authorization: Bearer {ALICE}", f"Authorization: Bearer {ALICE}"), 400),
}


@pytest.mark.parametrize("token", ["", ALICE], ids=["alone", "beside a good Authorization"])
@pytest.mark.parametrize(("lines", "code"), REFUSED.values(), ids=REFUSED)
def test_it_is_the_only_credential_looked_at(
    bastion: Bastion, pod: Place, lines: tuple[str, ...], code: int, token: str
) -> None:
    answer, seen = asyncio.run(seen_by(bastion, pod, *lines, token=token))
    assert_status(answer, code)
    assert bool(answer.all("WWW-Authenticate")) is (code == 401)
    assert not seen


# --- impersonation

AS_ALICE = ("Impersonate-User: alice", "Impersonate-Group: devs")

IMPERSONATED = {
    "a user and a group": (DAVE, AS_ALICE, 200, "alice"),
    "a user without her group": (DAVE, AS_ALICE[:1], 403, "alice"),
    "somebody who may nothing": (DAVE, ("Impersonate-User: carol",), 403, "carol"),
    "one who may not be": (DAVE, ("Impersonate-User: bob",), 403, None),
    "a group that may not be": (DAVE, (*AS_ALICE, "Impersonate-Group: system:masters"), 403, None),
    "an extra that may not be": (DAVE, (*AS_ALICE, "Impersonate-Extra-Scope: all"), 403, None),
    "a uid that may not be": (DAVE, (*AS_ALICE, "Impersonate-Uid: 1"), 403, None),
    "by one who may not": (ALICE, AS_ALICE, 403, None),
    "a group of nobody": (DAVE, AS_ALICE[1:], 400, None),
    "two users": (DAVE, (*AS_ALICE, "Impersonate-User: carol"), 400, None),
    "with X-Bastion-Authorization": ("", (*AS_ALICE, BASTION + DAVE), 200, "alice"),
    "constrained to what is asked for": (BOB, AS_ALICE, 200, "alice"),
    "constrained, without her group": (BOB, AS_ALICE[:1], 403, "alice"),
    "constrained, to another user": (BOB, ("Impersonate-User: dave",), 403, None),
}
USERS = {ALICE: "alice", BOB: "bob"}


@pytest.mark.parametrize(("token", "lines", "code", "acting"), IMPERSONATED.values(), ids=IMPERSONATED)
def test_impersonation(
    bastion: Bastion, pod: Place, token: str, lines: tuple[str, ...], code: int, acting: str | None
) -> None:
    answer, seen = asyncio.run(seen_by(bastion, pod, *lines, token=token))
    assert answer.status == code
    line = bastion.line(answer.one("Audit-Id"))
    assert (line["user"], line.get("actingAs")) == (USERS.get(token, "dave"), acting)
    if code == 200:
        assert not any(name.startswith("impersonate-") for name in seen[0].names())
    else:
        assert_status(answer, code)
        assert not seen


def test_acting_as_another_is_constrained_to_the_verb(bastion: Bastion, pod: Place) -> None:
    answer = asyncio.run(ask(bastion, request(pod.path(), *AS_ALICE, token=BOB, method="DELETE")))
    assert_status(answer, 403)
    assert (
        'User "bob" cannot impersonate-on:user-info:delete resource "pods/proxy"' in answer.json()["message"]
    )


# --- identities that a client may not assert

ASSERTED = (
    "X-Remote-User: root",
    "X-Remote-Group: system:masters",
    "X-Remote-Extra-Scope: all",
    "X_Remote_User: root",
    "Remote-User: root",
    "X-Forwarded-User: root",
    "X-Forwarded-For: 9.9.9.9",
    "X-Forwarded-Proto: gopher",
    "X-Auth-Request-Email: root@example.org",
    "X-WebAuth-User: root",
    "X-Real-Ip: 9.9.9.9",
    "Forwarded: for=9.9.9.9",
    "X-Original-URL: /admin",
    "X-HTTP-Method-Override: DELETE",
    "SSL-Client-Cert: x",
    "Proxy: http://evil",
    "Proxy-Authorization: Basic x",
    "Connection: X-Named, keep-alive",
    "X-Named: y",
    "Upgrade: h2c",
    "TE: trailers",
)


def test_a_backend_is_told_the_truth_and_nothing_else(bastion: Bastion, pod: Place) -> None:
    answer, (seen,) = asyncio.run(seen_by(bastion, pod, *ASSERTED, "X-Own: kept", "Accept: */*", token=ALICE))
    assert answer.status == 200
    prefix = pod.path("")
    assert seen.fields == [
        ("Host", "bastion.test"),
        ("X-Own", "kept"),
        ("Accept", "*/*"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "bastion.test"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Prefix", prefix),
        ("X-Forwarded-Uri", f"{prefix}/"),
    ]


# --- no credential is written down

WEBSOCKET = "base64url.bearer.authorization.k8s.io."


def test_no_credential_is_in_any_log(bastion: Bastion, pod: Place) -> None:
    """The bastion of these tests is as talkative as it gets, and it has served all of them."""
    marked: list[str] = []

    def mark(kind: str) -> str:
        marked.append(f"m4rk3d-{kind}-{pod.name}")
        return marked[-1]

    def basic(kind: str) -> str:
        marked.append(base64.b64encode(f"user:{mark(kind)}".encode()).decode())
        return marked[-1]

    def coded(kind: str) -> str:
        marked.append(base64.urlsafe_b64encode(mark(kind).encode()).decode().rstrip("="))
        return marked[-1]

    path = pod.path()
    sent = [
        request(path, token=mark("bearer")),
        request(path, token=mark("long") + "x" * 20_000),
        request(path, token=mark("spaced") + " x"),
        request(path, f"Authorization: Basic {basic('basic')}", token=""),
        request(path, f"Authorization: {mark('no-scheme')}", token=""),
        request(
            path,
            f"Authorization: Bearer {mark('first')}",
            f"Authorization: Bearer {mark('second')}",
            token="",
        ),
        request(
            path,
            f"X-Bastion-Authorization: Bearer {mark('bastion')}",
            f"Authorization: Bearer {mark('own')}",
            token="",
        ),
        request(path, BASTION + mark("twice"), BASTION + mark("again")),
        request(path, BASTION + ALICE, f"Authorization: Bearer {mark('passed-on')}", token=""),
        request(
            path,
            f"Sec-WebSocket-Protocol: {WEBSOCKET}{coded('websocket')}, v4.channel.k8s.io",
            "Upgrade: websocket",
            token="",
        ),
        request(path, f"Cookie: session={mark('cookie')}"),
        request(path, f"Proxy-Authorization: Basic {basic('proxy')}"),
        request(path, f"X-Api-Key: {mark('api-key')}"),
        request(path, f"Referer: https://x/?token={mark('referer')}"),
        request(f"{path}?access_token={mark('query')}"),
        request(f"{path}?token={mark('query-unknown')}", token=mark("with-query")),
        request(f"/livez?token={mark('own-path')}"),
        request(f"/nowhere?token={mark('no-route')}"),
        request(pod.path("", port=8080) + f"?token={mark('redirect')}"),
        request(
            Place("gone", "").path() + f"?token={mark('not-found')}",
            method="POST",
            body=mark("body").encode(),
        ),
        request(path, f"Impersonate-User: {mark('impersonated')}", token=mark("impersonator")),
        f"GET {path} HTTP/1.1\r\nAuthorization: Bearer {mark('no-host')}\r\n\r\n".encode(),
        f"GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {mark('malformed')}\n\r\n\r\n".encode(),
        f"GET {path}?token={mark('no-version')}\r\n\r\n".encode(),
        f"GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization Bearer {mark('no-colon')}\r\n\r\n".encode(),
        f"GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {mark('huge')}{'x' * 70_000}".encode(),
    ]

    async def main() -> None:
        async with backend(pod.address):
            answers = [await ask(bastion, data) for data in sent]
            async with client(bastion, plain=True) as wire:
                await wire.send(request(path, token=mark("plain")))
                answers.append(await wire.answer())
        for answer in answers:
            if answer.all("X-Bastion-Error"):
                assert not [word for word in marked if word.encode() in answer.head + answer.body]
        # lines are written in order: all are there
        await asyncio.to_thread(bastion.line, answers[-1].one("Audit-Id"))
        written = bastion.program.stdout + bastion.program.stderr
        assert "POST /apis/authentication.k8s.io/v1/tokenreviews: 201" in written, (
            "this is not as talkative as it gets"
        )
        secrets = [*marked, *(row.split(",")[0] for row in TOKENS.split())]
        assert {ALICE, BOB, CAROL, DAVE} <= set(secrets)
        assert not [word for word in secrets if word in written]

    asyncio.run(main())


def test_own_paths_are_not_in_the_way_of_a_backend(bastion: Bastion) -> None:
    """`/metrics` is the bastion's, `…/proxy/metrics` is the backend's."""

    async def main() -> None:
        async with backend(LIVE) as behind:
            answer = await ask(bastion, request(Place("live", LIVE).path("/metrics")))
            assert (answer.json()["target"], len(behind.requests)) == ("/metrics", 1)

    asyncio.run(main())
