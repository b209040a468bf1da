"""How backends are told who asks, and with which keys that is signed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bastion.identity.signing import SigningKey, derived_key, key_set, keys_of
from bastion.proxy.introduction import Introductions
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed
from bastion.runtime.validity import Generation
from bastion.settings.config import Config
from bastion.wiring.signin import session_key


@dataclass(frozen=True, slots=True)
class Introducing:
    """`keys` are read again when their files change."""

    keys: Followed[Sequence[SigningKey]]
    introductions: Introductions

    def key_set(self) -> bytes:
        return key_set(self.keys())


def introducing(config: Config, generation: Generation) -> Introducing:
    """Raises StartError, OSError."""
    settings = config.asserting
    files = settings.key_files
    if files:
        keys: Followed[Sequence[SigningKey]] = Followed(
            "the keys of --assertion-key-file", files, lambda: _read(files), generation
        )
    else:
        derived = (derived_key(session_key(config.browsers)),)
        keys = Followed("the derived key of assertions", (), lambda: derived, generation)
    issuer = settings.issuer or config.browsers.public_url or "bastion"
    return Introducing(keys, Introductions(keys, issuer, settings.lifetime, time.time))


def _read(files: Sequence[Path]) -> tuple[SigningKey, ...]:
    """Raises StartError, OSError."""
    try:
        return keys_of(file.read_bytes() for file in files)
    except ValueError as error:
        raise StartError(f"--assertion-key-file: {error}") from error
