"""The sign-in at an issuer, driven by hand: what a browser may bring back, once, and what it may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

from bastion.demo.issuer import ALGORITHM, CLIENT, Issuer
from bastion.demo.samplehttp import serving
from bastion.message.cookies import SESSION, SIGNING_IN
from bastion.runtime.listening import listen
from bastion.settings.config import serve_config
from bastion.wiring.bastion import open_bastion
from tests.fakes import run

MAIN = "https://bastion.test"
OPENED = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
CALLBACK = f"{MAIN}/login/oidc/callback"
USERS = {"alice": ("developers",), "bob": (), "gina": tuple(f"group-{n}-of-some-company" for n in range(200))}
FLAGS = {
    "public-url": MAIN,
    "proxy-host-suffix": "apps.test",
    "oidc-client-id": CLIENT,
    "oidc-username-prefix": "id:",
    "oidc-groups-claim": "groups",
    "oidc-signing-algs": ALGORITHM,
    "oidc-display-name": "Example Inc.",
}


class Browser:
    """Cookies of the bastion's host alone; the issuer is asked as `user`."""

    def __init__(self, app: Any, issuer: Issuer) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=MAIN, headers=OPENED
        )
        self._issuer = issuer

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self._http.cookies)

    async def get(self, url: str, **headers: str) -> httpx.Response:
        return await self._http.get(url, headers=headers)

    async def post(self, url: str, form: dict[str, str] | None = None) -> httpx.Response:
        return await self._http.post(
            url, data=form or {}, headers={"origin": MAIN, "sec-fetch-site": "same-origin"}
        )

    async def callback(self, user: str = "alice", start: str = "/login/oidc") -> str:
        """The URL that the issuer would send it back to."""
        there = await self.get(start)
        assert there.status_code == 303, there.text
        async with httpx.AsyncClient(trust_env=False) as outside:
            return (await outside.get(f"{there.headers['location']}&user={user}")).headers["location"]

    async def come_back(self, url: str) -> httpx.Response:
        return await self.get(url, **{"sec-fetch-site": "cross-site"})

    async def sign_in(self, user: str = "alice") -> httpx.Response:
        return await self.come_back(await self.callback(user))

    async def user(self) -> str:
        """Of whom a refusal speaks; empty where nobody is signed in."""
        found = await self.get("/api/v1/namespaces/a/services/b/proxy/", accept="*/*")
        if found.status_code != 403:
            return ""
        return str(json.loads(found.text)["message"]).partition('User "')[2].partition('"')[0]


Talk = Callable[[Callable[[], Browser], Issuer], Awaitable[None]]


@pytest.fixture
def conversation(tmp_path: Path) -> Iterator[Callable[[Talk], None]]:
    (tmp_path / "cluster.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n")

    async def talk(talk: Talk, life: int, flags: dict[str, str]) -> None:
        at = listen(("127.0.0.1", 0))
        issuer = Issuer(f"http://127.0.0.1:{at.getsockname()[1]}", USERS, (CALLBACK,), life=life)
        given = FLAGS | {"manifests": str(tmp_path / "cluster.yaml"), "oidc-issuer-url": issuer.url} | flags
        config = serve_config([f"--{name}={value}" for name, value in given.items()])
        with (tmp_path / "log").open("wb") as log:
            async with serving(issuer.answer, at), open_bastion(config, log.fileno()) as bastion:
                await bastion.synced()
                await asyncio.wait_for(talk(lambda: Browser(bastion.app, issuer), issuer), 30)

    yield lambda told, life=600, **flags: run(
        talk(told, life, {name.replace("_", "-"): value for name, value in flags.items()})
    )


def test_signed_in_once(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one = browser()
        page = await one.get("/login")
        assert "Sign in with Example Inc." in page.text
        assert await one.user() == ""
        url = await one.callback()
        assert dict(parse_qsl(urlsplit(url).query))["iss"] == issuer.url
        done = await one.come_back(url)
        assert (done.status_code, done.headers["location"]) == (303, "/")
        assert await one.user() == "id:alice"
        assert SIGNING_IN.decode() not in one.cookies
        again = await one.come_back(url)
        assert again.status_code == 400
        assert await one.user() == "id:alice"

    conversation(talk)


def changed(url: str, **new: str | None) -> str:
    at, _, query = url.partition("?")
    return f"{at}?{urlencode({k: v for k, v in {**dict(parse_qsl(query)), **new}.items() if v is not None})}"


BAD = {
    "another state": lambda url: changed(url, state="A" * 43),
    "no state": lambda url: changed(url, state=None),
    "another issuer": lambda url: changed(url, iss="https://evil.test"),
    "no issuer, which announced that it says": lambda url: changed(url, iss=None),
    "no code": lambda url: changed(url, code=None),
    "an error of nobody": lambda url: changed(url, state=None, error="access_denied"),
    "two codes": lambda url: f"{url}&code=x",
    "a long code": lambda url: changed(url, code="c" * 5000),
    "nothing": lambda url: url.partition("?")[0],
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_does_not_fit_signs_nobody_in(conversation: Any, change: Callable[[str], str]) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one = browser()
        assert (await one.come_back(change(await one.callback()))).status_code == 400
        assert await one.user() == ""

    conversation(talk)


def test_a_sign_in_is_of_the_browser_that_began_it(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        attacker, victim = browser(), browser()
        theirs = await attacker.callback("bob")
        assert (await victim.come_back(theirs)).status_code == 400, "login CSRF"
        own = await victim.callback()
        code = parse_qs(urlsplit(theirs).query)["code"][0]
        assert (await victim.come_back(changed(own, code=code))).status_code == 502, "code injection: PKCE"
        assert await victim.user() == ""
        await victim.sign_in("alice")
        assert (await victim.come_back(theirs)).status_code == 400
        assert await victim.user() == "id:alice"
        assert (await victim.come_back(own)).status_code == 400, "it is good once, whatever came of it"

    conversation(talk)


def test_only_a_person_who_opens_a_page_begins_and_ends_it(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one = browser()
        for mode, dest in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")):
            fields = {"sec-fetch-mode": mode, "sec-fetch-dest": dest, "sec-fetch-site": "cross-site"}
            assert (await one.get("/login/oidc", **fields)).status_code == 403
            assert (await one.get("/login/oidc/callback?code=x&state=y", **fields)).status_code == 403
        assert (await one.get("/login/nobody")).status_code == 404
        assert (await one.post("/login/oidc/callback", {"code": "x", "state": "y"})).status_code == 405

    conversation(talk)


def test_nothing_of_the_url_reaches_the_issuer_or_leads_elsewhere(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one = browser()
        evil = "?redirect_uri=https://evil.test/&return=//evil.test&client_id=evil&scope=all&prompt=none"
        there = parse_qs(urlsplit((await one.get(f"/login/oidc{evil}")).headers["location"]).query)
        assert there["redirect_uri"] == [CALLBACK]
        assert there["client_id"] == [CLIENT]
        assert "prompt" not in there
        done = await one.come_back(await one.callback(start=f"/login/oidc{evil}"))
        assert done.headers["location"] == "/"

    conversation(talk)


def test_many_groups_fit_and_leave_with_the_session(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one = browser()
        await one.sign_in("gina")
        assert await one.user() == "id:gina"
        assert all("group-" not in value for value in one.cookies.values())
        await one.sign_in("bob")
        assert await one.user() == "id:bob"
        done = await one.post("/logout")
        assert (done.status_code, done.headers["location"]) == (303, "logout?done=here")
        assert not [name for name in one.cookies if name.startswith(SESSION.decode())]

    conversation(talk)


def test_a_session_that_was_signed_out_is_over_also_for_a_thief(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one, thief = browser(), browser()
        await one.sign_in()
        thief._http.cookies = httpx.Cookies(one._http.cookies)
        assert await thief.user() == "id:alice"
        await one.post("/logout")
        assert await thief.user() == ""

    conversation(talk)


def test_it_is_refreshed_once_for_all_requests(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one = browser()
        await one.sign_in()
        before = one.cookies[SESSION.decode()]
        await asyncio.sleep(1.1)  # the end of the token
        issuer.life = 600
        assert await asyncio.gather(*[one.user() for _ in range(8)]) == ["id:alice"] * 8
        assert one.cookies[SESSION.decode()] != before

    conversation(talk, life=1)


def test_without_the_form_a_token_signs_nobody_in(conversation: Any) -> None:
    async def talk(browser: Callable[[], Browser], issuer: Issuer) -> None:
        one = browser()
        assert 'name="token"' not in (await one.get("/login")).text
        assert (await one.post("/login", {"token": "x"})).status_code == 405

    conversation(talk, sign_in_token="false")


# --- the settings

GOOD = {"name": "main", "issuer": "https://id.test", "clientID": "c"}
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a name for no URL": ({"name": "Main Inc."}, "providers[0].name: must be letters"),
    "another issuer": (
        {"issuer": "https://other.test"},
        "is not among the issuers whose tokens are accepted",
    ),
    "another client": ({"clientID": "d"}, "d is no audience of https://id.test"),
    "a secret that is not there": ({"clientSecretFile": "nowhere"}, "nowhere: no such file"),
    "what is the bastion's own": ({"authorizationParameters": {"state": "x"}}, "is the bastion's own"),
    "too long": ({"sessionDuration": "9h"}, "more than the 8h"),
    "a word": ({"logout": "never"}, "must be idTokenHint"),
    "a field": ({"secret": "x"}, "providers[0].secret: unknown field"),
}


@pytest.mark.parametrize(("change", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_every_mistake_in_the_file_is_named(tmp_path: Path, change: dict[str, Any], mistake: str) -> None:
    from bastion.runtime.errors import ConfigError

    file = tmp_path / "sign-in.yaml"
    flags = [
        f"--sign-in-config={file}",
        f"--public-url={MAIN}",
        "--oidc-issuer-url=https://id.test",
        "--oidc-client-id=c",
        "--oidc-username-prefix=id:",
    ]
    file.write_text(json.dumps({"kind": "SignInConfiguration", "providers": [GOOD]}))
    assert [one.name for one in serve_config(flags).sign_in] == ["main"]
    file.write_text(json.dumps({"kind": "SignInConfiguration", "providers": [GOOD | change]}))
    with pytest.raises(ConfigError) as raised:
        serve_config(flags)
    assert mistake in "\n".join(raised.value.mistakes)
