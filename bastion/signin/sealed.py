"""· Seals data that a browser carries but can neither read nor change.

AES-256-GCM: data sealed for one purpose and host opens for no other purpose or host, nor after it expired.
Pure: the time is an argument, so is the source of random bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12  # NIST SP 800-38D; random ones are good for 2^32 messages under one key
_TIME_BYTES = 8

RandomBytes = Callable[[int], bytes]


class Sealer:
    """`key` of KEY_BYTES; `random_bytes(n)` gives n bytes that cannot be predicted."""

    def __init__(self, key: bytes, random_bytes: RandomBytes) -> None:
        self._cipher = AESGCM(key)
        self.random_bytes = random_bytes

    def seal(self, purpose: str, host: str, data: bytes, until: int) -> bytes:
        """Base64url without padding.  `until` in seconds since the epoch."""
        nonce = self.random_bytes(_NONCE_BYTES)
        plain = until.to_bytes(_TIME_BYTES, "big") + data
        return base64.urlsafe_b64encode(
            nonce + self._cipher.encrypt(nonce, plain, _bound(purpose, host))
        ).rstrip(b"=")

    def open(self, purpose: str, host: str, sealed: bytes, now: float) -> bytes | None:
        """None where it was sealed for another purpose or host, has expired, or was not sealed here."""
        try:
            raw = base64.b64decode(sealed + b"=" * (-len(sealed) % 4), b"-_", validate=True)
            plain = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _bound(purpose, host))
        except (binascii.Error, ValueError, InvalidTag):
            return None
        until = int.from_bytes(plain[:_TIME_BYTES], "big")
        return plain[_TIME_BYTES:] if now < until else None


def key_of(secret: bytes) -> bytes:
    """The key derived from the content of a file.

    Raises ValueError where it is too short to be a secret.
    """
    if len(secret) < KEY_BYTES:
        raise ValueError(f"holds less than {KEY_BYTES} bytes")
    return hashlib.blake2b(secret, digest_size=KEY_BYTES, person=b"bastion-session").digest()


def _bound(purpose: str, host: str) -> bytes:
    return f"{purpose}\0{host}".encode()
