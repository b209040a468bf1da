"""Writes into dist/ the command line as one file, and what krew installs it from:
`python tools/krew.py URL`, where the archive will be found below URL.

Needs the package pex.  The file runs with the minor version of Python that made it.
"""

from __future__ import annotations

import hashlib
import io
import platform
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

from bastion import __version__

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
PROGRAM = "kubectl-bastion"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # in Go's words
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def build(target: Path) -> None:
    command = [sys.executable, "-m", "pex", str(ROOT), "-c", "bastion", "-o", str(target), "--venv"]
    command += ["--python-shebang", f"/usr/bin/env python{PYTHON}"]
    subprocess.run(command, check=True)  # noqa: S603  of words of ours


def archive(program: Path, target: Path) -> str:
    """Its SHA-256.  The same files make the same archive."""
    with tarfile.open(target, "w:gz", compresslevel=1) as tar:
        for file, name, mode in ((program, PROGRAM, 0o755), (ROOT / "LICENSE", "LICENSE", 0o644)):
            content = file.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return hashlib.sha256(target.read_bytes()).hexdigest()


def manifest(uri: str, sha256: str, machine: str) -> dict[str, Any]:
    """krew's Plugin, v1alpha2."""
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "bastion"},
        "spec": {
            "version": f"v{__version__}",
            "shortDescription": "Reach pods and services through a bastion",
            "description": (
                "Lists, opens and probes what you may reach through a bastion, opens TCP tunnels to it,\n"
                "says why something is refused, and serves a kubeconfig's API server on localhost.\n"
            ),
            "caveats": f"Needs python{PYTHON} on the PATH.\n",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": "linux", "arch": ARCHITECTURES[machine]}},
                    "uri": uri,
                    "sha256": sha256,
                    "bin": PROGRAM,
                    "files": [{"from": PROGRAM, "to": "."}, {"from": "LICENSE", "to": "."}],
                }
            ],
        },
    }


def main(url: str) -> None:
    DIST.mkdir(exist_ok=True)
    machine = platform.machine()
    packed = DIST / f"{PROGRAM}-v{__version__}-linux-{ARCHITECTURES[machine]}.tar.gz"
    build(DIST / PROGRAM)
    told = manifest(f"{url.rstrip('/')}/{packed.name}", archive(DIST / PROGRAM, packed), machine)
    (DIST / "bastion.yaml").write_text(yaml.safe_dump(told, sort_keys=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
