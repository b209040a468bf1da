"""· Options of the assertion by which a backend is told who asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.kinds import DURATION, PATHS, TEXT
from bastion.settings.option import option

SHORTEST, LONGEST = 10.0, 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Asserting:
    """How X-Bastion-Assertion is signed, for Services whose annotation asks for it."""

    key_files: tuple[Path, ...] = option(
        "assertion-key-file",
        PATHS,
        (),
        "private keys (PEM: P-256, Ed25519 or RSA) that sign X-Bastion-Assertion, the same for all replicas:"
        " the first signs, all are published; without it one is derived from the session key",
    )
    issuer: str = option(
        "assertion-issuer", TEXT, "", "the issuer it names; without it --public-url, else bastion"
    )
    lifetime: float = option(
        "assertion-lifetime", DURATION, 300.0, "how long one is valid, 10s to 1h; half of it is left at least"
    )
