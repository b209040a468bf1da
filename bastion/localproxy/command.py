"""`bastion proxy -- COMMAND`: runs it with the proxy in its environment, and ends with its status."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import orjson


def kubeconfig(url: str, contexts: Sequence[str], current: str, token: str, authority: bytes) -> bytes:
    """One that leads to the proxy; in JSON, which YAML contains."""
    trust = {"certificate-authority-data": base64.b64encode(authority).decode()} if authority else {}
    places = {name: f"{url}/contexts/{quote(name, safe='/:@')}" for name in contexts} or {"proxy": url}
    return orjson.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": current if current in places else next(iter(places)),
            "clusters": [
                {"name": name, "cluster": {"server": there, **trust}} for name, there in places.items()
            ],
            "users": [{"name": "proxy", "user": {"token": token} if token else {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "proxy"}} for name in places],
        }
    )


async def run(argv: Sequence[str], url: str, config: bytes, environ: Mapping[str, str]) -> int:
    """The exit status as a shell has it: 127 where there is no such program, 128 and the signal that ended
    it.
    """
    with tempfile.TemporaryDirectory(prefix="bastion-proxy-") as folder:
        file = Path(folder, "config")
        file.write_bytes(config)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, env={**environ, "KUBECONFIG": str(file), "KUBERNETES_MASTER": url}
            )
        except OSError as error:
            os.write(2, f"error: {argv[0]}: {(error.strerror or str(error)).lower()}\n".encode())
            return 126 if isinstance(error, PermissionError) else 127
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, process.send_signal, number)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal tells the command as well
        status = await process.wait()
    return 128 - status if status < 0 else status
