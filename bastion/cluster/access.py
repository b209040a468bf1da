"""Which credentials and certificates does a call to the API server use right now?

They are loaded again, in a thread (an exec plugin is a program that may be slow), when one of their files
changes, when they are about to expire, and when the API server refused them.  When that fails, the ones from
before stay in use.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from bastion.cluster.proxies import Proxies
from bastion.runtime.certificates import Certificate, CertificatePair
from bastion.runtime.errors import StartError
from bastion.runtime.follow import FileChanges
from bastion.runtime.trust import client_context

LOOK_EVERY = 1.0  # seconds between looks at the files
EARLY = 30.0  # seconds before credentials expire
AGAIN_AFTER = 5.0  # seconds between attempts at credentials that expire or were refused

_log = logging.getLogger("bastion.cluster")


@dataclass(frozen=True, slots=True)
class Trust:
    """`to_proxy` is for a proxy that is reached over TLS; `plain` makes a context that trusts the same and
    shows no certificate; `shown` is what `context` shows.

    Where `made_of` is equal the contexts would be, too, and connections can be kept.
    """

    made_of: tuple[Any, ...]
    context: ssl.SSLContext
    proxies: Proxies
    to_proxy: ssl.SSLContext | None = None
    plain: Callable[[], ssl.SSLContext] = client_context
    shown: CertificatePair | None = None


@dataclass(frozen=True, slots=True)
class AccessData:
    """`impersonation`: headers that every call has.

    `expires` in seconds of the epoch.  `certificates`: those that an operator renews.
    """

    server: str
    trust: Trust
    authorization: str | None
    files: tuple[Path, ...]
    impersonation: tuple[tuple[bytes, bytes], ...] = ()
    expires: float | None = None
    certificates: tuple[Certificate, ...] = ()


class Access(Protocol):
    """How API servers are called.  `authorization` raises OSError where it cannot be read."""

    @property
    def server(self) -> str: ...

    @property
    def tls(self) -> ssl.SSLContext: ...

    @property
    def proxies(self) -> Proxies: ...

    @property
    def proxy_tls(self) -> ssl.SSLContext | None: ...

    @property
    def impersonation(self) -> tuple[tuple[bytes, bytes], ...]: ...

    async def authorization(self) -> str | None: ...

    async def refused(self, authorization: str | None) -> bool:
        """The server refused it.  Returns whether there is another one by now."""
        ...


class ApiAccess:
    """`load` is blocking; the first call raises what it raises."""

    def __init__(self, load: Callable[[], AccessData], clock: Callable[[], float] = time.time) -> None:
        self._load = load
        self._clock = clock
        self._now = load()
        self.server = self._now.server
        files = self._now.files
        self._changes = FileChanges(lambda: files)
        self._tried = float("-inf")
        self._loading: asyncio.Task[None] | None = None

    @property
    def trust(self) -> Trust:
        return self._now.trust

    @property
    def tls(self) -> ssl.SSLContext:
        return self._now.trust.context

    @property
    def proxies(self) -> Proxies:
        return self._now.trust.proxies

    @property
    def proxy_tls(self) -> ssl.SSLContext | None:
        return self._now.trust.to_proxy

    @property
    def impersonation(self) -> tuple[tuple[bytes, bytes], ...]:
        return self._now.impersonation

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        return self._now.certificates

    async def authorization(self) -> str | None:
        """The value of the Authorization header; None where a client certificate is enough."""
        if self._left() <= 0 and self._may_try():
            self._begin()
        if self._left() <= 0 and self._loading is not None:
            await asyncio.shield(self._loading)
        return self._now.authorization

    async def refused(self, authorization: str | None) -> bool:
        if self._now.authorization == authorization and (self._loading is not None or self._may_try()):
            await asyncio.shield(self._begin())
        return self._now.authorization != authorization

    async def keep(self, interval: float = LOOK_EVERY) -> None:
        """Until cancelled: loads again before a call needs it."""
        while True:
            await asyncio.sleep(interval)
            if self._changes.happened() or (self._left() < EARLY and self._may_try()):
                self._begin()

    def again(self) -> None:
        """Load everything again now, whatever has changed."""
        self._begin()

    def _left(self) -> float:
        """Seconds that the credentials are still good for."""
        return self._now.expires - self._clock() if self._now.expires is not None else float("inf")

    def _may_try(self) -> bool:
        return time.monotonic() - self._tried >= AGAIN_AFTER

    def _begin(self) -> asyncio.Task[None]:
        if self._loading is None:
            self._tried = time.monotonic()
            self._loading = asyncio.create_task(self._load_again(), name="credentials")
        return self._loading

    async def _load_again(self) -> None:
        try:
            loaded = await asyncio.to_thread(self._load)
        except (StartError, OSError) as error:
            _log.error("%s; the credentials from before stay in use", error)
            return
        finally:
            self._loading = None
        if loaded.server != self._now.server:
            _log.warning("the kubeconfig names another API server, %s: restart to use it", loaded.server)
        if loaded.files != self._now.files:
            files = loaded.files
            self._changes = FileChanges(lambda: files)
        if loaded.trust.made_of == self._now.trust.made_of:
            # so that connections made with this context are used on
            loaded = replace(loaded, trust=self._now.trust)
        self._now = loaded
