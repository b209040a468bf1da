"""Tokens of one issuer, client and set of scopes, in a file that only its owner may read."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bastion.runtime.private import write_private


class Kept(msgspec.Struct, frozen=True):
    id_token: str
    refresh_token: str = ""

    def __repr__(self) -> str:
        return "Kept(…)"


class TokenCache:
    """Raises OSError where the folder cannot be made."""

    def __init__(self, folder: Path, issuer: str, client: str, scopes: Sequence[str]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(json.dumps([issuer, client, sorted(scopes)]).encode()).hexdigest()[:32]
        self._file, self._lock = folder / f"{name}.json", folder / f"{name}.lock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time."""
        lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def read(self) -> Kept | None:
        """None where there is nothing that can be read."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return None

    def write(self, kept: Kept) -> None:
        write_private(self._file, msgspec.json.encode(kept))
