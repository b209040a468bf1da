"""· `[LOCAL:]REMOTE`, and the addresses to listen on: what is asked for?  As kubectl port-forward reads them,
but for its mistakes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bastion.runtime.errors import ConfigError

LOCALHOST = ("127.0.0.1", "::1")
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Ports:
    """`local` 0 for any free one; `remote` a number or a port's name."""

    local: int
    remote: str


def ports_of(text: str) -> Ports:
    """Raises ConfigError."""
    local, colon, remote = text.rpartition(":")
    if ":" in local:
        raise ConfigError([f"{text}: a port is REMOTE, LOCAL:REMOTE or :REMOTE"])
    if not _is_number(remote) and not _NAME.fullmatch(remote):
        raise ConfigError([f"{text}: the remote port {remote!r} is neither 1 to 65535 nor a name"])
    if not colon:
        return Ports(int(remote) if _is_number(remote) else 0, remote)
    if local not in ("", "0") and not _is_number(local):
        raise ConfigError([f"{text}: the local port {local!r} is not one of 0 to 65535"])
    return Ports(int(local or 0), remote)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,4}", text) is not None and int(text) <= 65535


def addresses_of(asked: Sequence[str]) -> list[tuple[str, bool]]:
    """(address, whether it must be there), localhost being those of both families.  Raises ConfigError."""
    found: dict[str, bool] = {}
    for text in asked:
        bare = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
        if bare == "localhost":
            found |= {LOCALHOST[0]: True, LOCALHOST[1]: found.get(LOCALHOST[1], False)}
            continue
        try:
            found[str(ipaddress.ip_address(bare))] = True
        except ValueError:
            raise ConfigError([f"--address: {text} is not an IP address, or localhost"]) from None
    return [*found.items()]


def shown(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
