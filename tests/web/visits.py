"""The bastion's pages as somebody visits them who keeps nothing from one visit to the next."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from bastion.kube.hostname import HostNames
from bastion.kube.user import User
from bastion.message.cookies import SESSION
from bastion.signin.handoff import Handoff
from bastion.signin.once import ProcessUsedIds
from bastion.signin.sealed import KEY_BYTES, Sealer
from bastion.signin.session import Sessions
from bastion.web.app import create_app
from bastion.web.visit import Desk

NOW = 1_800_000_000.0
MAIN = "https://bastion.test:8443"
APP = "https://web--shop.svc.proxy.test:8443"
APP_HOST = "web--shop.svc.proxy.test"
ALICE = User("alice", groups=("devs", "<script>alert(1)</script>"))
TOKEN = "token-of-alice"
LONG = "".join(chr(33 + byte % 94) for byte in random.Random(1).randbytes(8000))  # nothing packs it
ANOTHER = "another-token-of-alice"
FORM = {"content-type": "application/x-www-form-urlencoded"}
OURS = {"origin": MAIN, "sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}
PATH = "/api/v1/namespaces/shop/services/web/proxy/a?b=c"


class Bastion:
    """The pages, a clock, and who is known; `asked` are the tokens that were asked about."""

    def __init__(self) -> None:
        counter = itertools.count()
        sealer = Sealer(b"k" * KEY_BYTES, lambda n: next(counter).to_bytes(n, "big"))
        self.now = NOW
        self.asked: list[Any] = []
        self.failing: Exception | None = None
        self.sessions, self.handoff = Sessions(sealer), Handoff(sealer, ProcessUsedIds())
        self.desk = Desk(
            self.sessions,
            self.handoff,
            self.identify,
            lambda peer, fields: peer,
            lambda peer, scheme, host, fields: (scheme, host),
            lambda: self.now,
            MAIN,
            HostNames("proxy.test"),
        )
        self.app = create_app({}, {}, bytes, self.desk)  # type: ignore[arg-type]

    async def identify(self, credentials: Any, client: Any) -> Any:
        self.asked.append(credentials.token)
        if self.failing is not None:
            raise self.failing
        return ALICE if credentials.token in (TOKEN, LONG, ANOTHER) else None

    def ask(self, method: Any, url: Any, cookies: Any = None, **more: Any) -> Any:
        """Nothing is kept from one to the next."""

        async def send() -> Any:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            headers = {"cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())} if cookies else {}
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, url, headers=headers | more.pop("headers", {}), **more)

        return asyncio.run(send())

    def log_in(self, token: Any = TOKEN, headers: Any = OURS, cookies: Any = None) -> Any:
        return self.ask(
            "POST", f"{MAIN}/login", cookies, content=urlencode({"token": token}), headers=FORM | headers
        )


@pytest.fixture
def bastion() -> Any:
    return Bastion()


def set_cookies(answer: Any) -> Any:
    """name -> value; every one of them as strict as can be."""
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        pair, *attributes = line.split("; ")
        assert attributes[:4] == ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"], line
        name, _, value = pair.partition("=")
        assert name.startswith("__Host-bastion_")
        assert (attributes[4] == "Max-Age=0") is (value == "")
        found[name] = value
    return found


def signed_in(bastion: Any, **more: Any) -> Any:
    return {SESSION.decode(): set_cookies(bastion.log_in(**more))[SESSION.decode()]}
