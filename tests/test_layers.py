"""The drawing of the architecture: which package may import which, and what keeps away from clocks and sockets."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "bastion"

# From top to bottom; a package imports those below its own row, never its neighbours.
ROWS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"checking", "demo"},
    {"wiring"},
    {"measuring"},
    {"server", "web", "standalone"},
    {"proxy"},
    {"authn", "authz", "discovery"},
    {"cluster", "network", "message", "balance", "observe"},
    {"kube"},
]
ANYWHERE = {
    "authentication",
    "browsers",
    "cache",
    "certificates",
    "clock",
    "config",
    "issuers",
    "kubeapi",
    "limits",
    "observing",
    "reload",
    "rounds",
    "trust",
    "turns",
    "__init__",
}
STANDALONE_MAY = {"kube"}
FOREIGN = {  # library -> the only places that may import it
    "kubernetes": {"cluster/kubeconfig.py"},
    "jose": {"authn/jwt.py"},
    "httptools": {"network/http1.py"},
    "fastapi": {"web"},
    "httpx": {"authn/oidc.py", "cluster/client.py", "cluster/connections.py"},
    "yaml": {"kube/documents.py", "issuers.py"},
}
PURE = [
    "kube",
    "message",
    "balance",
    "discovery/apiserver.py",
    "discovery/catalog.py",
    "discovery/kubelets.py",
    "discovery/backing.py",
    "discovery/index.py",
    "discovery/resolver.py",
    "discovery/reflector.py",
    "network/addresses.py",
    "network/errors.py",
    "cluster/fields.py",
    "cluster/proxies.py",
    "network/logins.py",
    "authentication.py",
    "browsers.py",
    "config.py",
    "issuers.py",
    "kubeapi.py",
    "limits.py",
    "observing.py",
    "observe/families.py",
    "observe/texts.py",
    "proxy/attempts.py",
    "rounds.py",
    "turns.py",
    "proxy/retry.py",
    "proxy/router.py",
    "proxy/kubelet.py",
    "server/head.py",
    "server/body.py",
    "authn/bearer.py",
    "authn/claims.py",
    "authn/compact.py",
    "authn/crosssite.py",
    "authn/handoff.py",
    "authn/jwt.py",
    "authn/once.py",
    "authn/pairs.py",
    "authn/requestheader.py",
    "authn/sealed.py",
    "authn/session.py",
    "authn/x509.py",
    "authz/modes.py",
    "authz/wanted.py",
    "standalone/rbac.py",
]
IMPURE = {"asyncio", "time", "random", "socket", "threading", "secrets"}

FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names imported anywhere in a file, but for the type checker alone."""
    found = set()
    tree = ast.parse((ROOT / path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_run_one_way(path: Path) -> None:
    here = path.parts[0].removesuffix(".py")
    if here in ANYWHERE:
        return
    rank = next(i for i, row in enumerate(ROWS) if here in row)
    for name in imports(path):
        if not name.startswith("bastion."):
            continue
        there = room(name.removeprefix("bastion."))
        if there == here or there in ANYWHERE or there == "__version__":
            continue
        assert any(there in row for row in ROWS[rank + 1 :]), f"{path} imports {name}"
        if here == "standalone":
            assert there in STANDALONE_MAY, f"standalone is reached over HTTP and knows nothing of {there}"
        if there == "standalone":
            assert here in ("wiring", "commands", "demo"), f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_each_library_has_its_place(path: Path) -> None:
    for name in imports(path):
        places = FOREIGN.get(room(name))
        if places is not None:
            assert str(path) in places or path.parts[0] in places, f"{path} imports {name}"


@pytest.mark.parametrize("path", [p for p in FILES if str(p) in PURE or p.parts[0] in PURE], ids=str)
def test_what_decides_touches_no_clock_and_no_socket(path: Path) -> None:
    assert not {room(name) for name in imports(path)} & IMPURE
