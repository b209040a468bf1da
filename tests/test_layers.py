"""The drawing of the architecture: which room may import which, and what keeps away from clocks and sockets.

Every file of the package has a rank.  A file whose first line has a `·` is pure: neither it nor what it
imports touches time, chance, tasks or sockets.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "bastion"

# From top to bottom; a room imports those below its own row, never its neighbours.
ROWS = [
    {"__main__"},
    {"cli"},
    {"demo"},
    {"wiring", "localproxy"},
    {"server", "web", "node", "l4", "probe", "standalone"},
    {"proxy"},
    {"authn", "authz", "signin", "discovery"},
    {"cluster"},
    {"identity", "network", "observe"},
    {"settings"},
    {"message", "balance"},
    {"http"},
    {"kube", "runtime"},
    {"__init__"},
]
RANKS = {room: rank for rank, row in enumerate(ROWS) for room in row}
STANDALONE_MAY = {"kube", "runtime"}  # it stands in for an API server: all else is reached over HTTPS
STANDALONE_FOR = {"cli", "demo", "wiring"}
FOREIGN = {  # library -> the only places that may import it
    "kubernetes": {"cluster/kubeconfig.py"},
    "jose": {"authn/jwt.py"},
    "re2": {"localproxy/patterns.py", "probe"},
    "httptools": {"network/http1/reader.py"},
    "fastapi": {"web"},
    "httpx": {
        "authn/issuerhttp.py",
        "cli/asking.py",
        "cli/probe.py",
        "cli/why.py",
        "cluster/client.py",
        "cluster/connections.py",
        "cluster/lane.py",
        "cluster/refusals.py",
        "cluster/webhook.py",
        "probe/oauth.py",
    },
    "brotli": {"probe"},
    "cel": {"probe"},
    "dns": {"probe"},
    "h2": {"probe", "network/http2/purepython.py"},
    "ngh2": {"network/http2/nghttp.py"},
    "opentelemetry": {"observe/otlp.py"},
    "sqlite3": {"probe"},
    "yaml": {"kube/documents.py"},
}
IMPURE = {
    "asyncio",
    "time",
    "random",
    "socket",
    "threading",
    "secrets",
    "uvloop",
    "uvicorn",
    "httpx",
    "httptools",
}

FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
PURE = [path for path in FILES if "·" in (ROOT / path).read_text().partition("\n")[0]]


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names imported anywhere in a file, also those that only the type checker needs."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@cache
def file_of(name: str) -> Path | None:
    """The file of ours that a dotted name means; None for a library's."""
    parts = name.split(".")
    if parts[0] != "bastion":
        return None
    for end in range(len(parts), 0, -1):
        for path in (
            Path(*parts[1:end]).with_suffix(".py") if end > 1 else Path("__init__.py"),
            Path(*parts[1:end], "__init__.py"),
        ):
            if path in FILES:
                return path
    raise AssertionError(f"{name} is no file")


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


@cache
def needed(path: Path) -> dict[Path, Path]:
    """Every file that comes along with this one, and which of them brings it."""
    found: dict[Path, Path] = {path: path}
    queue = [path]
    while queue:
        one = queue.pop()
        for there in filter(None, map(file_of, imports(one))):
            if there not in found:
                found[there] = one
                queue.append(there)
    return found


def test_every_file_has_a_rank() -> None:
    assert {room(path) for path in FILES} == set(RANKS)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        there = file_of(name)
        if there is None or room(there) == here:
            continue
        assert RANKS[room(there)] > RANKS[here], f"{path} imports {name}"
        if here == "standalone":
            assert room(there) in STANDALONE_MAY | {"__init__"}, f"{path} imports {name}"
        if room(there) == "standalone":
            assert here in STANDALONE_FOR, f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_each_library_has_its_place(path: Path) -> None:
    for name in imports(path):
        places = FOREIGN.get(name.partition(".")[0])
        if places is not None:
            assert path.as_posix() in places or path.parts[0] in places, f"{path} imports {name}"


@pytest.mark.parametrize("path", PURE, ids=str)
def test_what_decides_touches_no_clock_and_no_socket(path: Path) -> None:
    for there, by in needed(path).items():
        impure = {name.partition(".")[0] for name in imports(there)} & IMPURE
        assert not impure, f"{path} needs {there} (imported by {by}), which imports {', '.join(impure)}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_no_import_leads_back(path: Path) -> None:
    """A circle, even one for the type checker alone, is one room with two doors."""
    for there in filter(None, map(file_of, imports(path))):
        if there != path:
            assert path not in needed(there), f"{path} imports {there}, which leads back"
