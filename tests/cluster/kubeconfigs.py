"""Kubeconfigs, exec plugins, and what is made of them, for the tests."""

from __future__ import annotations

import asyncio
import datetime
import json
import stat
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bastion.cluster.access import ApiAccess
from bastion.cluster.kubeconfig import load_access
from bastion.runtime.certificates import Authority
from tests.fakes import run

AUTHORITY = Authority("kubeconfig tests")
LOOK = 0.01  # seconds between looks at the files


def config(
    server: Any = "https://10.0.0.1:6443",
    user: Any | None = None,
    *,
    name: str = "a",
    current: bool = True,
    cluster: Any = None,
) -> dict[str, Any]:
    """A kubeconfig with one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": name, "user": user if user is not None else {"token": f"token-of-{name}"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        **({"current-context": name} if current else {}),
    }


class Plugin:
    """An exec plugin that gives what is in a file, and notes that it was asked."""

    def __init__(self, folder: Path) -> None:
        self._answer, self._asked, self._told, script = (
            folder / "answer.json",
            folder / "asked",
            folder / "told",
            folder / "plugin",
        )
        source = f"""
            #!{sys.executable}
            import json, os, sys
            info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
            open({str(self._told)!r}, "w").write(json.dumps(info))
            with open({str(self._asked)!r}, "a") as file:
                file.write(" ".join([info["kind"], os.environ.get("GREETING", ""), *sys.argv[1:]]) + "\\n")
            text = open({str(self._answer)!r}).read()
            sys.exit(text) if text.startswith("error") else print(text)
        """
        script.write_text(textwrap.dedent(source).lstrip())
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        self.user = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": str(script),
                "args": ["--for", "tests"],
                "env": [{"name": "GREETING", "value": "hello"}],
                "interactiveMode": "Never",
            }
        }

    def gives(self, *, expires_in: Any = None, **status: Any) -> None:
        if expires_in is not None:
            status["expirationTimestamp"] = time.strftime(
                "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires_in)
            )
        self._answer.write_text(
            json.dumps(
                {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
            )
        )

    def fails(self) -> None:
        self._answer.write_text("error: no credentials today")

    @property
    def info(self) -> Any:
        """KUBERNETES_EXEC_INFO of the last time."""
        return json.loads(self._told.read_text())

    @property
    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []


def opened(tmp_path: Path, kubeconfig: Path | None = None, context: str = "", **environ: Any) -> ApiAccess:
    environ = {"HOME": str(tmp_path / "home"), **environ}
    return load_access(kubeconfig, context, environ=environ, service_account=tmp_path / "service-account")


def token(access: ApiAccess) -> str | None:
    return run(access.authorization())


def kept(access: ApiAccess, check: Callable[..., Any]) -> None:
    """With `access` being kept up to date; `check` tells when all has come about."""

    async def main() -> None:
        keeping = asyncio.create_task(access.keep(LOOK))
        try:
            await check(access)
        finally:
            keeping.cancel()

    run(main())


async def comes_to_be(access: ApiAccess, authorization: str) -> None:
    for _ in range(3000):
        if await access.authorization() == authorization:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await access.authorization())


def plugin_of(
    **fields: Any,
) -> dict[str, Any]:
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/none",
            "interactiveMode": "Never",
            **fields,
        }
    }


def old_authority(day: datetime.datetime) -> str:
    """PEM of one that was good for a day."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old")]),
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
    )
    builder = builder.not_valid_before(day).not_valid_after(day + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
