"""How a command asks a running bastion."""

from __future__ import annotations

import json
import ssl
from pathlib import Path


def context_of(authority: Path | None, *, verify: bool) -> ssl.SSLContext:
    """`authority` signs the bastion's certificate; None: the system's.  Raises OSError, ValueError."""
    from bastion.runtime.trust import client_context

    return client_context(authority.read_bytes() if authority is not None else None, verify=verify)


def message_of(text: str) -> str:
    """That of a Status, or what there is instead."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        return " ".join(text.split())[:200]
