"""Does the bastion say of a target what blackbox_exporter says of it?

A part of the cases, by ids of pods; KITS_PROBE=1: all of them, by services and proxy paths as well.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from bastion.cli.main import main
from tests.conformance.processes import serving
from tests.loopback import free_port, own_network
from tests.probe.recorded.backends import Backends
from tests.probe.recorded.compare import Response, differences
from tests.probe.recorded.pods import NAMESPACE, PODS, USERS, objects

Case = dict[str, Any]
DATA = Path(__file__).with_name("data")
NET, WATCHED = own_network(74), free_port()
WHOLE = bool(os.environ.get("KITS_PROBE"))
FORMS = ("pods", "services", "path") if WHOLE else ("pods",)
PART = 3  # one in so many of what takes long, where not all are asked
ALWAYS = ("access", "extras", "newer", "services", "ssrf")
SEEN_WITHIN = 5.0  # seconds
FILES: list[Case] = yaml.safe_load((DATA / "files.yaml").read_text())


def filled(text: str) -> str:
    return text.replace("{net}", NET).replace("{watched}", str(WATCHED))


def cases() -> list[tuple[str, Case]]:
    found = []
    for file in sorted(DATA.glob("*.json")):
        text = file.read_text()
        for number, (told, case) in enumerate(zip(json.loads(text), json.loads(filled(text)), strict=True)):
            case |= {"id": told["id"], "group": file.stem}  # the same names in every process of a run
            forms = FORMS if "backend" in case and "as" not in case else FORMS[:1]
            chosen = WHOLE or file.stem in ALWAYS or number % PART == 0
            found += [(form, case) for form in forms if chosen]
    return found


class Stage:
    """The backends, and the bastion at `port` in front of them."""

    def __init__(self, port: int, backends: Backends) -> None:
        self._port = port
        self.backends = backends
        self._trust = ssl._create_unverified_context()

    def ask(self, form: str, case: Case) -> Response:
        self.backends.begin()
        method, path = case["request"].split(" ", 1) if "request" in case else ("GET", path_of(form, case))
        user = case.get("user", "prometheus")
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=self._trust)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in case.get("headers", ()):
                connection.putheader(name, value)
            if user:
                connection.putheader("Authorization", f"Bearer {token(user)}")
            connection.endheaders()
            response = connection.getresponse()
            return Response(response.status, response.getheader("Content-Type", ""), response.read())
        finally:
            connection.close()

    def judge(self, form: str, case: Case, response: Response) -> list[str]:
        expect = case["expect"]
        found = list(
            differences(
                expect,
                response,
                address=f"{NET}.{PODS[case['backend'].split(':')[0]][0]}" if "backend" in case else "",
                fingerprints=self.backends.fingerprints,
                labelled=form == "services",
            )
        )
        if "seen" in expect:
            seen = self._seen(len(expect["seen"]))
            if seen != expect["seen"]:
                found.append(f"the backends saw {seen}, not {expect['seen']}")
        tokens = [token(user) for user in USERS]
        for one in self.backends.seen:
            if any(secret in value for _, value in one.fields for secret in tokens):
                found.append("a backend got the caller's token")
        if self.backends.watched:
            found.append("a connection came where none may come")
        return found

    def _seen(self, count: int) -> list[list[str]]:
        until = time.monotonic() + SEEN_WITHIN
        while len(self.backends.seen) < count and time.monotonic() < until:
            time.sleep(0.01)
        return [[one.pod, one.method, one.target] for one in self.backends.seen]


def token(user: str) -> str:
    return f"{user}-t0k3n"


def path_of(form: str, case: Case) -> str:
    query = [("module", case["module"])] if case.get("module") else []
    target = case["target"] if "target" in case else target_of(case.get("as", form), case)
    query += [("target", target)] if target is not None else []
    return "/probe?" + urlencode([*query, *map(tuple, case.get("params", ()))])


def target_of(form: str, case: Case) -> str:
    pod, name = case["backend"].split(":")
    port = PODS[pod][1][name]
    scheme, rest = case.get("scheme", ""), case.get("path", "")
    before = f"{scheme}:" if scheme else ""
    if form == "services":
        return f"services/{NAMESPACE}/{before}{pod}:{name}{rest}"
    if form == "path":
        return f"/api/v1/namespaces/{NAMESPACE}/pods/{before}{pod}:{port}/proxy{rest}"
    return f"pods/{NAMESPACE}/{before}{pod}:{port}{rest}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recorded")


@pytest.fixture(scope="module")
def backends(folder: Path) -> Iterator[Backends]:
    made = Backends(NET, WATCHED, folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def stage(folder: Path, backends: Backends) -> Iterator[Stage]:
    (folder / "cluster.yaml").write_text(yaml.safe_dump_all(objects(NET, WATCHED)))
    (folder / "tokens.csv").write_text("".join(f"{token(user)},{user},{user}\n" for user in USERS))
    modules = (DATA / "modules.yaml").read_text().replace("{state}", str(folder))
    (folder / "modules.yaml").write_text(modules)
    flags = ["--manifests", str(folder / "cluster.yaml"), "--token-auth-file", str(folder / "tokens.csv")]
    flags += ["--allow-target-cidr", f"{NET}.0/24", "--enable-node-proxy", "--probe-schedule=false"]
    flags += ["--kubelet-insecure-skip-tls-verify", "--probe-config-file", str(folder / "modules.yaml")]
    with serving(*flags, log=folder / "log") as port:
        yield Stage(port, backends)


CASES = cases()


@pytest.mark.parametrize(
    ("form", "case"), CASES, ids=[f"{form}-{case['group']}-{case['id']}" for form, case in CASES]
)
def test_a_recorded_case(stage: Stage, form: str, case: Case) -> None:
    assert stage.judge(form, case, stage.ask(form, case)) == []


@pytest.mark.parametrize("file", FILES, ids=[file["id"] for file in FILES])
def test_a_module_file(
    backends: Backends, folder: Path, file: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    """`backends` has made the certificates that it may name."""
    path = folder / "tried.yaml"
    path.write_text(file["yaml"].replace("{state}", str(folder)))
    assert (main(["probe", "--check-config", str(path)]) == 0) is file["good"]
    assert re.search(file.get("says", ""), capsys.readouterr().err, re.IGNORECASE | re.DOTALL)
