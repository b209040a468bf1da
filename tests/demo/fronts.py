"""The demo as it runs, a second bastion before the same workloads, and a visitor with a browser."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page

from bastion.demo.run import HOST_SUFFIX
from tests.e2e.harness import Program
from tests.loopback import free_port

SITES = {"guestbook": ".50", "noticeboard": ".51"}  # where in the demo's network their pods are


@dataclass(frozen=True, slots=True)
class Front:
    """A bastion before the demo's workloads, reached at localhost.  `log` reads its access log."""

    program: Program
    port: int
    network: str  # of the workloads, without the last number
    tokens: Path
    log: Callable[[], str]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def token(self, user: str) -> str:
        with self.tokens.open() as file:
            return next(row[0] for row in csv.reader(file) if row[1] == user)

    def by_host(self, service: str) -> str:
        return f"https://{service}--shop.svc.{HOST_SUFFIX}:{self.port}/"

    def by_path(self, service: str) -> str:
        return f"{self.url}/api/v1/namespaces/shop/services/{service}/proxy/"

    def seen(self, site: str) -> list[dict[str, str]]:
        """The requests that the site's pod saw, as it tells itself: method, target, cookie."""
        url = f"http://{self.network}{SITES[site]}:8080/api/seen"
        requests: list[dict[str, str]] = httpx.get(url, trust_env=False).json()
        return requests

    def lines(self) -> list[dict[str, Any]]:
        """A line that is not wholly there yet is left for later."""
        return [json.loads(line) for line in self.log().splitlines(keepends=True) if line.endswith("\n")]


@contextlib.contextmanager
def running_demo(folder: Path) -> Iterator[Front]:
    port, files = free_port(), folder / "files"
    program = Program(folder, "demo", "--port", port, "--directory", files)
    try:
        program.until(lambda: "Ctrl-C here ends the demo." in program.stdout)
        yield Front(program, port, network_of(files), files / "tokens.csv", (files / "access.log").read_text)
    finally:
        program.end()


def network_of(files: Path) -> str:
    """Which network the demo that has this folder found free."""
    (network,) = set(re.findall(r"podIP: (127\.77\.\d+)\.", (files / "manifests" / "shop.yaml").read_text()))
    return str(network)


@contextlib.contextmanager
def another(demo: Front, folder: Path, *flags: object, port: int = 0) -> Iterator[Front]:
    """A bastion with these flags before the workloads of the demo."""
    port = port or free_port()
    source = ("--manifests", demo.tokens.parent / "manifests", "--token-auth-file", demo.tokens)
    targets = ("--allow-target-cidr", f"{demo.network}.0/24")
    program = Program(folder, "serve", *source, *targets, "--port", port, *flags)
    try:
        front = Front(program, port, demo.network, demo.tokens, lambda: program.stdout)
        program.until(lambda: _ready(front))
        yield front
    finally:
        program.end()


def _ready(front: Front) -> bool:
    try:
        return httpx.get(f"{front.url}/readyz", verify=False, trust_env=False).is_success
    except httpx.TransportError:
        return False


def bare(url: str) -> str:
    """Under a path a page is shown as it is to who asks for it so."""
    return f"{url}?bastion-path=1" if "/proxy/" in url else url


def arrive(page: Page, front: Front, url: str, user: str = "alice") -> None:
    """Opens a page as somebody who is not signed in, which leads to the form and back."""
    page.goto(bare(url))
    assert page.url in (f"{front.url}/login", f"{front.url}/.bastion/login")
    page.get_by_label("Token").fill(front.token(user))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda found: found.partition("?bastion-path")[0] == url)
