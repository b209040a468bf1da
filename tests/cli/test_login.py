"""`bastion login` as kubectl runs it, against the demo's issuer; and the kubeconfig entry that calls it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml

from bastion.cli.main import main
from bastion.demo.issuer import CLIENT, Issuer
from bastion.demo.samplehttp import serving
from bastion.identity.compact import read_compact
from bastion.runtime.listening import listen

INFO = json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {}})


class Terminal:
    """Runs `bastion login`; `opened` is what it had a browser open."""

    def __init__(self, folder: Path, issuer: Issuer) -> None:
        self.issuer = issuer
        self.cache = folder / "cache"
        self._opened = folder / "opened"
        self._browser = folder / "browser"
        self._browser.write_text(
            f'#!/bin/sh\necho "$1" > {self._opened}.new; mv {self._opened}.new {self._opened}\n'
        )
        self._browser.chmod(0o755)

    async def login(self) -> asyncio.subprocess.Process:
        self._opened.unlink(missing_ok=True)
        words = (
            f"-m bastion login --issuer-url {self.issuer.url} --client-id {CLIENT} --cache-dir {self.cache}"
        )
        environment = {**os.environ, "KUBERNETES_EXEC_INFO": INFO, "BROWSER": str(self._browser)}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, *words.split(), env=environment, stdout=pipe, stderr=pipe
        )

    @property
    def browser_opened(self) -> bool:
        return self._opened.exists()

    async def url(self) -> str:
        async with asyncio.timeout(20):
            while not self._opened.exists():
                await asyncio.sleep(0.02)
        return self._opened.read_text().strip()

    async def visit(self, change: Callable[[str], str] = lambda url: url) -> int:
        """As alice's browser: the status of the page at the loopback address."""
        async with httpx.AsyncClient(trust_env=False) as browser:
            back = await browser.get((await self.url()) + "&user=alice")
            return (await browser.get(change(back.headers["location"]))).status_code


@asynccontextmanager
async def terminal(folder: Path, life: int = 600) -> AsyncIterator[Terminal]:
    at = listen(("127.0.0.1", 0))
    issuer = Issuer(f"http://127.0.0.1:{at.getsockname()[1]}", {"alice": ("developers",)}, (), life=life)
    async with serving(issuer.answer, at):
        yield Terminal(folder, issuer)


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def subject(out: str) -> Any:
    read = json.loads(out)
    assert (read["apiVersion"], read["kind"]) == ("client.authentication.k8s.io/v1", "ExecCredential")
    assert set(read["status"]) == {"token", "expirationTimestamp"}
    compact = read_compact(read["status"]["token"])
    assert compact is not None
    return compact.claims["sub"]


def test_signed_in_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    async def talk() -> None:
        async with terminal(tmp_path) as one:
            process = await one.login()
            query = parse_qs(urlsplit(await one.url()).query)
            assert query["code_challenge_method"] == ["S256"]
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", query["redirect_uri"][0])
            assert await one.visit() == 200
            code, out, err = await ended(process)
            assert (code, subject(out)) == (0, "alice"), err
            assert json.loads(out)["status"]["token"] not in err
            for file in one.cache.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600

            several = await asyncio.gather(*[ended(await one.login()) for _ in range(2)])
            assert [(code, subject(out)) for code, out, _ in several] == [(0, "alice")] * 2
            assert not one.browser_opened

    asyncio.run(talk())


def test_refreshed_without_the_person(tmp_path: Path) -> None:
    async def talk() -> None:
        async with terminal(tmp_path, life=1) as one:
            process = await one.login()
            assert await one.visit() == 200
            assert (await ended(process))[0] == 0
            one.issuer.life = 600
            await asyncio.sleep(1)  # the end of the token
            several = await asyncio.gather(*[ended(await one.login()) for _ in range(2)])
            assert [(code, subject(out)) for code, out, _ in several] == [(0, "alice")] * 2
            assert not one.browser_opened

    asyncio.run(talk())


CHANGES = {
    "another state": (lambda url: re.sub("state=[^&]+", "state=x", url), None),
    "another issuer": (lambda url: re.sub("iss=[^&]+", "iss=https%3A%2F%2Fevil.test", url), "another issuer"),
    "no issuer": (lambda url: re.sub("&iss=[^&]+", "", url), "another issuer"),
    "denied": (lambda url: re.sub("code=[^&]+", "error=access_denied", url), "access_denied"),
    "a code of another": (lambda url: re.sub("code=[^&]+", "code=another", url), "invalid_grant"),
}


@pytest.mark.parametrize(("change", "reason"), CHANGES.values(), ids=CHANGES)
def test_what_the_browser_brings_must_fit(tmp_path: Path, change: Any, reason: str | None) -> None:
    async def talk() -> None:
        async with terminal(tmp_path) as one:
            process = await one.login()
            assert await one.visit(change) == 400
            if reason is None:  # it may be another page's: the person's is still waited for
                assert await one.visit() == 200
            code, out, err = await ended(process)
            if reason is None:
                assert (code, subject(out)) == (0, "alice")
            else:
                assert (code, out) == (1, "")
                assert reason in err

    asyncio.run(talk())


# --- the entry

FLAGS = [
    "kubeconfig",
    "--bastion",
    "https://bastion.test/",
    "--issuer-url",
    "https://id.test",
    "--client-id",
    "cli",
]


def test_an_entry_is_added_and_all_else_stays(tmp_path: Path) -> None:
    file, authority = tmp_path / "config", tmp_path / "ca.crt"
    authority.write_bytes(b"a certificate")
    before = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {"colors": True},
        "clusters": [{"name": "prod", "cluster": {"server": "https://prod.test"}}],
        "users": [{"name": "me", "user": {"token": "0123"}}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
        "current-context": "prod",
    }
    file.write_text(yaml.safe_dump(before))
    for _ in range(2):  # the second time it is replaced
        assert main([*FLAGS, "--kubeconfig", str(file), "--certificate-authority", str(authority)]) == 0
    after = yaml.safe_load(file.read_text())
    for name, value in before.items():
        assert after[name][:1] == value if isinstance(value, list) else after[name] == value
    assert len(after["clusters"]) == len(after["users"]) == len(after["contexts"]) == 2
    assert after["clusters"][1]["cluster"]["server"] == "https://bastion.test"
    plugin = after["users"][1]["user"]["exec"]
    assert plugin["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plugin["args"] == ["login", "--issuer-url=https://id.test", "--client-id=cli"]
    assert not [*tmp_path.glob("*.lock")]


def test_a_file_is_made_where_none_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "new" / "config"
    monkeypatch.setenv("KUBECONFIG", f"{file}{os.pathsep}{tmp_path / 'other'}")
    assert main([*FLAGS, "--name", "b"]) == 0
    assert yaml.safe_load(file.read_text())["current-context"] == "b"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert main([*FLAGS, "--name", "c"]) == 0
    assert yaml.safe_load(file.read_text())["current-context"] == "b"
    assert main([*FLAGS, "--name", "c", "--use"]) == 0
    assert yaml.safe_load(file.read_text())["current-context"] == "c"


@pytest.mark.parametrize(
    "text", ["a: [", "- a\n", "kind: Pod\n", "users: 1\n", "users: []\nusers: []\n", "{}\n---\n{}\n"]
)
def test_what_is_no_kubeconfig_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    assert main([*FLAGS, "--kubeconfig", str(file)]) == 1
    assert file.read_text() == text
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (["login"], "--issuer-url is required"),
        (["login", "--issuer-url", "http://id.test", "--client-id", "c"], "is not https"),
        (["kubeconfig", *FLAGS[3:]], "--bastion: must be a URL"),
    ],
)
def test_mistakes_are_named(words: list[str], mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert mistake in capsys.readouterr().err
