"""From the form to the application and back: who gets in with a cookie, who does not, and what a backend sees
of it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import HTML, NAVIGATION, Browser
from tests.e2e.harness import ALICE, BOB, CAROL, LIVE, TLS_PORT, Bastion, Cluster, Place, Program, serving
from tests.e2e.wire import Backend, ask, assert_status, backend, client, request
from tests.loopback import free_port

SUFFIX = "proxy.localhost"
SESSION, APPLICATION, HANDOFF, RETURN, PAIRS = (
    f"__Host-bastion_{name}" for name in ("session", "app", "handoff", "return", "pairs")
)
ACCEPTS = f"Accept: {HTML}"


@dataclass(frozen=True, slots=True)
class Site:
    """A bastion with host names for applications, reached at localhost."""

    bastion: Bastion
    url: str

    def host(self, place: Place, port: int | str = 8080, scheme: str = "") -> str:
        label = "--".join(filter(None, (scheme, place.name, str(port), place.namespace)))
        return f"{label}.{'pod' if place.resource == 'pods' else 'svc'}.{SUFFIX}:{self.bastion.port}"

    def browser(self) -> Browser:
        return Browser(self.bastion.trust)

    def signed_in(self, token: str = ALICE) -> Browser:
        browser = self.browser()
        browser.visit(f"{self.url}/login")
        assert browser.sign_in(token).status_code == 200
        assert SESSION in browser.cookies["localhost"]
        return browser


@pytest.fixture(scope="module")
def site(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    names = ("127.0.0.1", "localhost", f"*.svc.{SUFFIX}", f"*.pod.{SUFFIX}")
    certificate, key = cluster.pair("sign-in", *names)
    port = free_port()
    flags = (
        "--tls-cert-file",
        certificate,
        "--tls-private-key-file",
        key,
        "--proxy-host-suffix",
        SUFFIX,
        "--sandbox-pages=false",
        "-v",
        9,
    )
    url = f"https://localhost:{port}"
    with serving(
        cluster, tmp_path_factory.mktemp("sign-in"), *flags, "--public-url", url, port=port
    ) as bastion:
        yield Site(bastion, url)


async def off_loop(work: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments)


# --- under a path


def test_a_visitor_signs_in_and_comes_back_to_the_page(site: Site, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            browser, path = site.browser(), pod.path("/a%2Fb//c?d=%zz&e")
            form = await off_loop(browser.visit, site.url + path)
            assert browser.trail == [site.url + path, f"{site.url}/login"]
            assert (form.status_code, 'name="token"' in form.text) == (200, True)
            wrong = await off_loop(browser.sign_in, "guessed")
            assert (wrong.status_code, 'name="token"' in wrong.text) == (401, True)
            assert not behind.requests
            page = await off_loop(browser.sign_in, ALICE)
            assert browser.trail[-1] == site.url + path
            assert page.json()["target"] == "/a%2Fb//c?d=%zz&e"
            assert browser.cookies["localhost"].keys() == {SESSION}, "where to return to is forgotten"
            line = site.bastion.line(page.headers["audit-id"])
            assert (line["user"], line["code"]) == ("alice", 200)

    asyncio.run(main())


def test_no_cookie_of_ours_and_no_token_is_at_a_backend(site: Site, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            browser = await off_loop(site.signed_in)
            ours = f"{SESSION}={browser.cookies['localhost'][SESSION]}"
            for line, kept in (
                (f"a=1; {ours}; b=2", "a=1; b=2"),
                (ours, ""),
                (f"{ours}; {APPLICATION}=x; {HANDOFF}=y; {RETURN}=z", ""),
            ):
                answer = await ask(
                    site.bastion,
                    request(pod.path(), f"Cookie: {line}", token="", host=f"localhost:{site.bastion.port}"),
                )
                assert answer.status == 200
                assert behind.requests[-1].one("Cookie") == kept
            for seen in behind.requests:
                assert b"bastion" not in seen.head.lower().replace(b"/proxy", b"")
                assert ALICE.encode() not in seen.head
                assert not seen.all("Authorization")

    asyncio.run(main())


PROGRAMS = {
    "nothing said": (),
    "anything": ("Accept: */*",),
    "JSON": ("Accept: application/json",),
    "a script": (ACCEPTS, "Sec-Fetch-Mode: cors"),
    "an image": (ACCEPTS, "Sec-Fetch-Mode: no-cors"),
    "two modes": (ACCEPTS, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: cors"),
    "an upgrade": (
        ACCEPTS,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ),
    "a bad token": (ACCEPTS, "Authorization: Bearer guessed"),
    "a bad token of ours": (ACCEPTS, "X-Bastion-Authorization: Bearer guessed"),
}


@pytest.mark.parametrize("lines", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("on_host", [False, True], ids=["path", "host"])
def test_who_opens_no_page_gets_401(site: Site, pod: Place, lines: tuple[str, ...], on_host: bool) -> None:
    async def main() -> None:
        path, host = ("/", site.host(pod)) if on_host else (pod.path(), "localhost")
        async with backend(pod.address) as behind:
            answer = await ask(site.bastion, request(path, *lines, token="", host=host))
            assert_status(answer, 401, "Unauthorized")
            assert answer.one("WWW-Authenticate")
            assert not answer.all("Set-Cookie")
            assert not behind.requests

    asyncio.run(main())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_a_page_that_is_opened_leads_to_the_form(site: Site, pod: Place, method: str) -> None:
    answer = asyncio.run(ask(site.bastion, request(pod.path(), ACCEPTS, method=method, token="")))
    assert answer.status == 401


UNSTORED = [
    "/nowhere",
    "//evil.test/",
    "/\\evil.test/",
    "/api/v1/pods",
    "/api/v1/namespaces/default/pods/x",
]


@pytest.mark.parametrize("path", UNSTORED)
def test_only_what_is_proxied_is_come_back_to(site: Site, path: str) -> None:
    answer = asyncio.run(ask(site.bastion, request(path, ACCEPTS, token="")))
    assert (answer.status, answer.one("Location")) == (303, "/login")
    assert answer.one("Set-Cookie").startswith(f"{RETURN}=; ")


def test_without_sign_in_nothing_of_it_is_there(cluster: Cluster, tmp_path: Path, pod: Place) -> None:
    with serving(cluster, tmp_path, "--sign-in=false") as bastion:
        assert asyncio.run(ask(bastion, request(pod.path(), ACCEPTS, token=""))).status == 401
        for path, code in (
            ("/login", 401),
            ("/logout", 401),
            ("/.bastion/login", 404),
            ("/.bastion/session", 404),
        ):
            assert asyncio.run(ask(bastion, request(path, ACCEPTS, token=""))).status == code
            assert_status(asyncio.run(ask(bastion, request(path))), 404)


# --- which credential counts

GIVEN = {
    # header lines beside alice's cookie, the status, the user
    "none": ((), 200, "alice"),
    "another's token": ((f"Authorization: Bearer {CAROL}",), 403, "carol"),
    "another's token of ours": ((f"X-Bastion-Authorization: Bearer {CAROL}",), 403, "carol"),
    "a token that is nobody's": (("Authorization: Bearer guessed",), 401, None),
    "an Authorization of another kind": (("Authorization: Basic eDp5",), 200, "alice"),
}


@pytest.mark.parametrize(("lines", "code", "user"), GIVEN.values(), ids=GIVEN)
def test_what_is_in_headers_comes_before_the_cookie(
    site: Site, pod: Place, lines: tuple[str, ...], code: int, user: str | None
) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            cookie = (await off_loop(site.signed_in)).cookies["localhost"][SESSION]
            answer = await ask(
                site.bastion,
                request(pod.path(), f"Cookie: {SESSION}={cookie}", *lines, token="", host="localhost"),
            )
            assert answer.status == code
            assert (await off_loop(site.bastion.line, answer.one("Audit-Id"))).get("user") == user
            assert not any(seen.all("Authorization") for seen in behind.requests)

    asyncio.run(main())


ACTS = {
    # method, what the browser says, the status
    "a form of our own": ("POST", ("OWN", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate"), 200),
    "a fetch of our own": ("DELETE", ("OWN", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"), 200),
    "a link on another site": (
        "GET",
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
        200,
    ),
    "the address bar": ("GET", ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"), 200),
    "a cross-site form": (
        "POST",
        ("Origin: https://evil.test", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
        401,
    ),
    "a cross-site form in an old browser": ("POST", ("Origin: https://evil.test",), 401),
    "a form that hides where it is from": ("POST", (), 401),
    "a cross-site fetch": (
        "GET",
        ("Origin: https://evil.test", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"),
        401,
    ),
    "a cross-site image": (
        "GET",
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"),
        401,
    ),
    "a sibling's fetch": ("GET", ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"), 401),
    "a sibling's form": ("POST", (f"Origin: https://evil--x.svc.{SUFFIX}", "Sec-Fetch-Site: same-site"), 401),
    "a sandboxed page's fetch": ("PUT", ("Origin: null", "Sec-Fetch-Site: cross-site"), 401),
}


@pytest.mark.parametrize(("method", "lines", "code"), ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("on_host", [False, True], ids=["path", "host"])
def test_another_sites_page_cannot_act_with_the_session(
    site: Site, pod: Place, method: str, lines: tuple[str, ...], code: int, on_host: bool
) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            path, host, cookie = await at(site, pod, on_host)
            behind.requests.clear()
            said = [f"Origin: https://{host}" if line == "OWN" else line for line in lines]
            answer = await ask(
                site.bastion, request(path, f"Cookie: {cookie}", *said, method=method, token="", host=host)
            )
            assert answer.status == code
            assert len(behind.requests) == (code == 200)

    asyncio.run(main())


async def at(site: Site, pod: Place, on_host: bool) -> tuple[str, str, str]:
    """(path, Host, the session's cookie there)"""
    browser = await off_loop(site.signed_in)
    if not on_host:
        return (
            pod.path(),
            f"localhost:{site.bastion.port}",
            f"{SESSION}={browser.cookies['localhost'][SESSION]}",
        )
    host = site.host(pod)
    assert (await off_loop(browser.visit, f"https://{host}/")).status_code == 200
    return "/", host, f"{APPLICATION}={browser.cookies[host.partition(':')[0]][APPLICATION]}"


ORIGINS = [
    ("OWN", 101),
    ("https://evil.test", 401),
    (f"https://evil--x.svc.{SUFFIX}", 401),
    ("null", 401),
    ("http://localhost", 401),
    (None, 401),
]


@pytest.mark.parametrize(("origin", "code"), ORIGINS)
@pytest.mark.parametrize("on_host", [False, True], ids=["path", "host"])
def test_a_websocket_counts_by_its_origin(
    site: Site, pod: Place, origin: str | None, code: int, on_host: bool
) -> None:
    proof = "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI="

    async def main() -> None:
        behind = Backend()

        async def serve(visit: Any) -> None:
            asked = await visit.message()
            behind.requests.append(asked)
            if asked.one("Upgrade"):
                await visit.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade:"
                    f" websocket\r\n{proof}\r\n\r\n".encode()
                )
                await visit.send(await visit.reader.readexactly(4))
            else:
                await visit.answer()

        async with behind.at(pod.address, serve):
            path, host, cookie = await at(site, pod, on_host)
            behind.requests.clear()
            said = [] if origin is None else [f"Origin: {f'https://{host}' if origin == 'OWN' else origin}"]
            upgrade = (
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            )
            async with client(site.bastion) as wire:
                await wire.send(
                    request(path, *upgrade, *said, f"Cookie: {cookie}; own=1", token="", host=host)
                )
                answer = await wire.head()
                assert answer.status == code
                if code == 101:
                    await wire.send(b"ping")
                    assert await wire.reader.readexactly(4) == b"ping"
                    assert behind.requests[0].one("Cookie") == "own=1"
                else:
                    assert not behind.requests

    asyncio.run(main())


def test_a_session_that_was_tampered_with_or_is_of_another_host_is_none(site: Site, pod: Place) -> None:
    cookie = site.signed_in().cookies["localhost"][SESSION]
    changed = cookie[:-6] + ("AAAAAA" if cookie[-6:] != "AAAAAA" else "BBBBBB")

    async def status(value: str, host: str) -> int:
        return (
            await ask(site.bastion, request(pod.path(), f"Cookie: {SESSION}={value}", token="", host=host))
        ).status

    async def main() -> None:
        async with backend(pod.address):
            assert await status(cookie, "localhost") == await status(cookie, "LOCALHOST:1") == 200
            assert await status(changed, "localhost") == 401
            assert await status(f"{cookie}; {SESSION}={cookie}", "localhost") == 401
            for host in ("127.0.0.1", "bastion.test", "localhost.evil.test"):
                assert await status(cookie, host) == 401

    asyncio.run(main())


# --- a host name per target


def test_a_host_name_means_the_same_target(site: Site, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            target = "/api/v1/namespaces/other/pods/x/proxy/a%2Fb/../c//d?e=%zz"
            answer = await ask(
                site.bastion, request(target, "X-Forwarded-Prefix: /evil", host=site.host(pod))
            )
            assert answer.status == 200
            (seen,) = behind.requests
            assert seen.target == target
            host = site.host(pod)
            assert seen.fields == [
                ("Host", host),
                ("X-Forwarded-For", "127.0.0.1"),
                ("X-Forwarded-Host", host),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Uri", target.partition("?")[0]),
            ]
            line = await off_loop(site.bastion.line, answer.one("Audit-Id"))
            assert (line["resource"], line["namespace"], line["name"], line["verb"]) == (
                "pods",
                "default",
                f"{pod.name}:8080",
                "get",
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/login",
        "/logout",
        "/metrics",
        "/openapi.json",
        "/version",
        "/.bastion",
        "//.bastion/x",
    ],
)
def test_an_application_has_all_paths_but_one_prefix(site: Site, pod: Place, path: str) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            assert (await ask(site.bastion, request(path, host=site.host(pod)))).json()["target"] == path
            assert_status(await ask(site.bastion, request("/.bastion/x", host=site.host(pod))), 404)
            assert len(behind.requests) == 1

    asyncio.run(main())


def test_the_scheme_stands_in_front(site: Site, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address, port=TLS_PORT, ssl=site.bastion.cluster.backend_tls(pod.address)):
            answer = await ask(site.bastion, request("/x", host=site.host(pod, TLS_PORT, "https")))
            assert (answer.status, answer.json()["target"]) == (200, "/x")

    asyncio.run(main())


def test_a_service_with_one_port_needs_none(site: Site) -> None:
    pair = Place("pair", "", "services")

    async def main() -> None:
        async with backend(LIVE) as behind:
            assert (await ask(site.bastion, request("/x", host=site.host(pair, "")))).status == 200
            assert (await ask(site.bastion, request("/x", host=site.host(pair, "http")))).status == 200
            assert len(behind.requests) == 2

    asyncio.run(main())


MAY_NOT = [
    (CAROL, "GET", 403, "carol"),
    (BOB, "GET", 403, "bob"),
    ("guessed", "GET", 401, None),
    ("", "GET", 401, None),
]


@pytest.mark.parametrize(("token", "method", "code", "user"), MAY_NOT)
def test_who_may_not_learns_nothing_about_what_exists(
    site: Site, pod: Place, token: str, method: str, code: int, user: str | None
) -> None:
    async def main() -> None:
        answers = [
            await ask(site.bastion, request("/x", method=method, token=token, host=site.host(p)))
            for p in (pod, Place("gone", ""))
        ]
        for answer in answers:
            assert_status(answer, code)
        if user is not None:
            assert (
                f'pods "{pod.name}:8080" is forbidden: User "{user}" cannot get resource "pods/proxy"'
                in answers[0].json()["message"]
            )

    asyncio.run(main())


UNFIT = [
    "my--web--80--default.svc",
    "web.svc",
    "web--default",
    "x.web--default.svc",
    f"{'w' * 60}--default.svc",
    "web--default.node",
]


@pytest.mark.parametrize("name", UNFIT)
def test_a_name_that_fits_nothing_is_told_the_path_form(site: Site, name: str) -> None:
    answer = asyncio.run(ask(site.bastion, request("/", host=f"{name}.{SUFFIX}")))
    assert_status(answer, 400, "BadRequest")
    assert "/api/v1/namespaces/<namespace>/services/" in answer.json()["message"]


def test_without_the_flag_host_names_mean_nothing(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address):
            host = f"{pod.name}--8080--default.pod.{SUFFIX}"
            assert_status(await ask(bastion, request("/", host=host)), 404)
            assert (await ask(bastion, request(pod.path(), host=host))).status == 200

    asyncio.run(main())


# --- the hand-off


def test_a_visitor_of_an_application_signs_in_at_the_bastion_and_comes_back(site: Site, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            browser, url = site.browser(), f"https://{site.host(pod)}/a//b?c=d"
            await off_loop(browser.visit, url)
            assert [step.partition("?")[0] for step in browser.trail] == [
                url.partition("?")[0],
                f"{site.url}/.bastion/handoff",
                f"{site.url}/login",
            ]
            page = await off_loop(browser.sign_in, ALICE)
            assert (page.status_code, browser.trail[-1]) == (200, url)
            assert page.json()["target"] == "/a//b?c=d"
            app = site.host(pod).partition(":")[0]
            assert browser.cookies[app].keys() == {APPLICATION, HANDOFF}
            assert browser.cookies["localhost"].keys() == {SESSION, PAIRS}
            assert not any(seen.all("Cookie") for seen in behind.requests)
            # and from now on without a detour
            await off_loop(browser.visit, url)
            assert browser.trail == [url]

    asyncio.run(main())


def test_two_applications_do_not_share_a_session(site: Site, cluster: Cluster, pod: Place) -> None:
    other = cluster.pod()

    async def main() -> None:
        async with backend(pod.address), backend(other.address) as behind:
            _, _, cookie = await at(site, pod, True)
            assert (
                await ask(site.bastion, request("/", f"Cookie: {cookie}", token="", host=site.host(pod)))
            ).status == 200
            assert (
                await ask(
                    site.bastion, request("/", f"Cookie: {cookie}", token="", host=site.host(pod, "http"))
                )
            ).status == 401
            assert (
                await ask(site.bastion, request("/", f"Cookie: {cookie}", token="", host=site.host(other)))
            ).status == 401
            as_session = cookie.replace(APPLICATION, SESSION)
            for host in ("localhost", site.host(pod)):
                for line in (cookie, as_session):
                    answer = await ask(
                        site.bastion, request(other.path(), f"Cookie: {line}", token="", host=host)
                    )
                    assert answer.status == (200 if (host, line) == (site.host(pod), cookie) else 401)
            assert not behind.requests

    asyncio.run(main())


def test_a_session_of_the_bastion_is_none_of_an_application(site: Site, pod: Place) -> None:
    cookie = site.signed_in().cookies["localhost"][SESSION]
    for name in (SESSION, APPLICATION):
        assert (
            asyncio.run(
                ask(site.bastion, request("/", f"Cookie: {name}={cookie}", token="", host=site.host(pod)))
            ).status
            == 401
        )


@pytest.mark.parametrize("authorization", ["Bearer the-applications-own", "Basic eDp5"])
def test_on_its_own_host_an_applications_scripts_have_authorization_to_themselves(
    site: Site, pod: Place, authorization: str
) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            _, host, cookie = await at(site, pod, True)
            answer = await ask(
                site.bastion,
                request("/api", f"Cookie: {cookie}", f"Authorization: {authorization}", token="", host=host),
            )
            assert answer.status == 200
            assert behind.requests[-1].one("Authorization") == authorization
            # what is meant for the bastion alone comes first there, too
            ours = f"X-Bastion-Authorization: Bearer {CAROL}"
            assert (
                await ask(site.bastion, request("/", f"Cookie: {cookie}", ours, token="", host=host))
            ).status == 403
            # without the cookie it is the bastion's, and goes no further
            assert (await ask(site.bastion, request("/api", host=host))).status == 200
            assert not behind.requests[-1].all("Authorization")

    asyncio.run(main())


def test_a_code_is_good_once_for_one_browser_on_one_host(site: Site, cluster: Cluster, pod: Place) -> None:
    other = cluster.pod()

    async def main() -> None:
        async with backend(pod.address):
            browser = await off_loop(site.signed_in)
            page = await off_loop(browser.visit, f"https://{site.host(pod)}/")
            assert page.status_code == 200
            steps = [step for step in browser.trail if "code=" in step or "entry=" in step]
            assert len(steps) == 2
            for step in steps:
                again = await off_loop(browser.send, "GET", step, NAVIGATION)
                assert again.status_code == 400
                assert not again.headers.get_list("set-cookie")
                elsewhere = await off_loop(
                    browser.send, "GET", step.replace(site.host(pod), site.host(other)), NAVIGATION
                )
                assert elsewhere.status_code == 400

            # a fresh one, stolen before it was used
            fresh = await off_loop(site.signed_in)
            first = await off_loop(fresh.send, "GET", f"https://{site.host(pod)}/x", NAVIGATION)
            second = await off_loop(fresh.send, "GET", first.headers["location"], NAVIGATION)
            thief = site.browser()
            stolen = await off_loop(thief.send, "GET", second.headers["location"], NAVIGATION)
            assert (stolen.status_code, thief.cookies) == (400, {})
            for _ in ("the code", "its proof", "the entry"):
                second = await off_loop(fresh.send, "GET", second.headers["location"], NAVIGATION)
            assert (second.status_code, second.headers["location"]) == (303, "/x")

    asyncio.run(main())


def test_a_code_is_good_once_among_all_workers(cluster: Cluster, tmp_path: Path, pod: Place) -> None:
    """And who began elsewhere is left with a proof that he has no session for."""
    port = free_port()
    flags = ("--workers", 3, "--proxy-host-suffix", SUFFIX, "--public-url", f"https://localhost:{port}")
    certificate, key = cluster.pair("workers", "127.0.0.1", "localhost", f"*.pod.{SUFFIX}")
    with serving(
        cluster, tmp_path, *flags, "--tls-cert-file", certificate, "--tls-private-key-file", key, port=port
    ) as bastion:
        site = Site(bastion, f"https://localhost:{port}")
        visitor, other = site.signed_in(), site.browser()
        begun = other.send("GET", f"https://{site.host(pod)}/x", NAVIGATION)
        code = visitor.send("GET", begun.headers["location"], NAVIGATION).headers["location"]
        answers = [other.send("GET", code, NAVIGATION) for _ in range(12)]
        assert sorted(answer.status_code for answer in answers) == [303, *[400] * 11]
        (proof,) = [answer.headers["location"] for answer in answers if answer.status_code == 303]
        assert other.send("GET", proof, NAVIGATION).headers["location"] == "/login"
        assert APPLICATION not in other.cookies[site.host(pod).partition(":")[0]]


def test_signing_out_ends_new_hand_offs(site: Site, cluster: Cluster, pod: Place) -> None:
    other = cluster.pod()

    async def main() -> None:
        async with backend(pod.address), backend(other.address):
            browser = await off_loop(site.signed_in)
            assert (await off_loop(browser.visit, f"https://{site.host(pod)}/")).status_code == 200
            ours = NAVIGATION | {"Origin": site.url, "Sec-Fetch-Site": "same-origin"}
            await off_loop(browser.send, "POST", f"{site.url}/logout", ours)
            assert browser.cookies["localhost"].keys() == {PAIRS}
            await off_loop(browser.visit, f"https://{site.host(other)}/")
            assert browser.trail[-1] == f"{site.url}/login"
            # the one that is there lives on, for an hour at most
            assert (await off_loop(browser.visit, f"https://{site.host(pod)}/")).status_code == 200
            origin = f"https://{site.host(pod)}"
            await off_loop(browser.send, "POST", f"{origin}/.bastion/logout", NAVIGATION | {"Origin": origin})
            await off_loop(browser.visit, f"https://{site.host(pod)}/")
            assert browser.trail[-1] == f"{site.url}/login"

    asyncio.run(main())


# --- limits, keys, workers, logs


def test_who_fails_too_often_is_told_to_wait(cluster: Cluster, tmp_path: Path) -> None:
    limits = ("--max-authentication-failure-burst=3", "--max-authentication-failure-qps=1")
    with serving(cluster, tmp_path, *limits, "--metrics-authorization=false") as bastion:
        browser = Browser(bastion.trust)
        browser.visit(f"{bastion.url}/login")
        answers = [browser.sign_in(f"guess-{n}") for n in range(5)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert answers[-1].headers["retry-after"]
        assert 'name="token"' in answers[-1].text
        browser.send("POST", f"{bastion.url}/login", {"Origin": "https://evil.test"}, content="token=guess-6")
        bastion.program.until(lambda: len(recorded(bastion)) == 7)
        assert recorded(bastion) == [
            ("GET", "/login", 200, ""),
            *[("POST", "/login", 401, "not-accepted")] * 3,
            *[("POST", "/login", 429, "too-many-failures")] * 2,
            ("POST", "/login", 403, "cross-site"),
        ]
        assert all(line["client"] == "127.0.0.1" for line in bastion.lines())
        said = [
            line["msg"] for line in bastion.log() if line["level"] == "warning" and "sign-in" in line["msg"]
        ]
        assert len(said) == 6, "at the default verbosity"
        assert all(answer.headers["audit-id"] in line for answer, line in zip(answers, said, strict=False))
        metrics = bastion.get("/metrics").text
        for outcome, count in (
            ("not-accepted", 3),
            ("too-many-failures", 2),
            ("cross-site", 1),
            ("signed-in", 0),
        ):
            assert f'bastion_sign_ins_total{{outcome="{outcome}"}} {count}.0' in metrics
        assert re.search(r'^bastion_requests_total\{[^}]*\bcode="401"[^}]*\} 3\.0$', metrics, re.MULTILINE)
        assert "guess-" not in bastion.program.stdout + bastion.program.stderr + metrics


def recorded(bastion: Bastion) -> list[tuple[str, str, int, str]]:
    return [(line["method"], line["path"], line["code"], line.get("outcome", "")) for line in bastion.lines()]


def statuses(bastion: Bastion, path: str, cookie: str, times: int) -> set[int]:
    async def main() -> set[int]:
        data = request(path, f"Cookie: {SESSION}={cookie}", token="", host="127.0.0.1")
        return {answer.status for answer in await asyncio.gather(*(ask(bastion, data) for _ in range(times)))}

    return asyncio.run(main())


def test_all_workers_know_a_session(cluster: Cluster, tmp_path: Path, pod: Place) -> None:
    with serving(cluster, tmp_path, "--workers", 2) as bastion:
        browser = Browser(bastion.trust)
        browser.visit(f"{bastion.url}/login")
        browser.sign_in(ALICE)
        cookie = browser.cookies["127.0.0.1"][SESSION]
        # 503: nobody listens at that pod, which is found out for those alone who may
        assert statuses(bastion, pod.path(), cookie, 40) == {503}
        assert statuses(bastion, pod.path(), cookie[:-4] + "AAAA", 10) == {401}


def test_replicas_with_one_key_file_know_each_others_sessions(
    cluster: Cluster, tmp_path: Path, pod: Place
) -> None:
    key = tmp_path / "key"
    key.write_bytes(base64.b64encode(os.urandom(32)))
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    with (
        serving(cluster, folders[0], "--session-key-file", key) as one,
        serving(cluster, folders[1], "--session-key-file", key) as other,
        serving(cluster, folders[2]) as stranger,
    ):
        browser = Browser(one.trust)
        browser.visit(f"{one.url}/login")
        browser.sign_in(ALICE)
        cookie = browser.cookies["127.0.0.1"][SESSION]
        assert [statuses(bastion, pod.path(), cookie, 1) for bastion in (one, other, stranger)] == [
            {503},
            {503},
            {401},
        ]


def test_a_key_file_with_too_little_in_it_is_said_and_not_quoted(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2")
    program = Program(
        tmp_path,
        "serve",
        "--manifests",
        cluster.manifests,
        "--port",
        0,
        "--session-key-file",
        tmp_path / "key",
    )
    assert program.wait() == 1
    assert (
        program.stderr.splitlines()[-1]
        == f"bastion serve: --session-key-file: {tmp_path / 'key'} holds less than 32 bytes"
    )


def test_a_certificate_made_at_start_has_the_names_of_applications(cluster: Cluster, tmp_path: Path) -> None:
    flags = ("--proxy-host-suffix", SUFFIX, "--public-url", "https://bastion.example.test")
    with serving(cluster, tmp_path, *flags, certificate=False) as bastion:
        pem = ssl.get_server_certificate(("127.0.0.1", bastion.port))
    for name in (f"*.svc.{SUFFIX}", f"*.pod.{SUFFIX}", "bastion.example.test"):
        assert name.encode() in ssl.PEM_cert_to_DER_cert(pem)


def test_no_token_cookie_or_code_is_in_any_log(site: Site, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address):
            browser = await off_loop(site.browser)
            await off_loop(browser.visit, f"https://{site.host(pod)}/")
            await off_loop(browser.sign_in, "m4rk3d-guess")
            page = await off_loop(browser.sign_in, ALICE)
            await off_loop(site.bastion.line, page.headers["audit-id"])
            written = site.bastion.program.stdout + site.bastion.program.stderr
            secrets = [value for jar in browser.cookies.values() for value in jar.values()]
            secrets += [
                step.rpartition("=")[2] for step in browser.trail if "session?" in step or "proof=" in step
            ]
            assert len(secrets) >= 7
            assert not [secret for secret in (ALICE, "m4rk3d-guess", *secrets) if secret in written]
            assert "alice signed in from 127.0.0.1" in written

    asyncio.run(main())


def test_it_still_ends_in_good_order(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path) as bastion:
        Browser(bastion.trust).visit(f"{bastion.url}/login")
        bastion.program.signal(signal.SIGTERM)
        assert bastion.program.wait() == 0
