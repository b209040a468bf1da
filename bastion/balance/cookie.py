"""· Which endpoint does a cookie name?  Without telling its address to anybody."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache

from bastion.kube.endpoint import Endpoint

REMEMBERED = 4096
LENGTH = 32  # of hexadecimal digits


def tokens(key: bytes) -> Callable[[Endpoint], bytes]:
    """`key` is that of all replicas and workers, so that each reads what another has set."""
    own = hmac.digest(key, b"endpoints in cookies", "sha256")

    @lru_cache(REMEMBERED)
    def token_of(endpoint: Endpoint) -> bytes:
        return hmac.new(own, str(endpoint).encode(), hashlib.sha256).hexdigest()[:LENGTH].encode()

    return token_of
