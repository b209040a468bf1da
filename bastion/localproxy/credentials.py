"""With which credentials is an API server spoken to right now?

kubectl reads everything once, a token file about once a minute, and hands the first 401 after a login to the
client.  Here files count as soon as they change, and a plugin runs when it is first needed, when what it gave
expires, and when the API server no longer takes it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from bastion.cluster.access import AccessData
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Mark, mark

LOOK_EVERY = 0.1  # seconds between looks at the files, at most one per request
AGAIN_AFTER = (
    5.0  # seconds between attempts at credentials that were refused, where the last one changed nothing
)

_log = logging.getLogger("bastion.localproxy")


class CredentialsError(Exception):
    """There are none right now.  One line, without anything secret."""


class Credentials:
    """`load(with_plugin)` is blocking and raises StartError; `now` is what it gave last."""

    def __init__(
        self, load: Callable[[bool], AccessData], *, has_plugin: bool, clock: Callable[[], float] = time.time
    ) -> None:
        """Raises StartError.  A plugin is not run before it is needed."""
        self.now = load(False)
        self._load = load
        self._has_plugin = self._awaits_plugin = has_plugin
        self._clock = clock
        self._mark: Mark = mark(self.now.files)
        self._look_at = 0.0
        self._refused_at = float("-inf")
        self._loading: asyncio.Task[None] | None = None

    async def current(self) -> AccessData:
        """Raises CredentialsError."""
        if self._awaits_plugin or self._has_expired():
            await self._again()
        elif (moment := time.monotonic()) >= self._look_at:
            self._look_at = moment + LOOK_EVERY
            if mark(self.now.files) != self._mark:
                await self._refreshed()
        return self.now

    async def refused(self, loaded: AccessData) -> bool:
        """The API server said 401 to these.  True where there are others by now."""
        if self.now is loaded and time.monotonic() - self._refused_at >= AGAIN_AFTER:
            await self._refreshed()
        changed = self.now.authorization != loaded.authorization or self.now.trust is not loaded.trust
        if not changed:
            self._refused_at = time.monotonic()
        return changed

    @property
    def renewable(self) -> bool:
        """Others may come: a plugin's, or those of a file."""
        return self._has_plugin or bool(self.now.files)

    def _has_expired(self) -> bool:
        return self.now.expires is not None and self.now.expires <= self._clock()

    async def _refreshed(self) -> None:
        """What cannot be read again keeps what there was."""
        try:
            await self._again()
        except CredentialsError as error:
            _log.warning("%s; the credentials of before stay", error)

    async def _again(self) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load_again(), name="credentials")
        await asyncio.shield(self._loading)

    async def _load_again(self) -> None:
        self._mark = mark(self.now.files)
        try:
            loaded = await asyncio.to_thread(self._load, True)
        except (StartError, OSError) as error:
            raise CredentialsError(str(error)) from None
        finally:
            self._loading = None
        self._awaits_plugin = False
        if loaded.files != self.now.files:
            self._mark = mark(loaded.files)
        if loaded.trust.made_of == self.now.trust.made_of:
            # so that connections made with this context are used on
            loaded = replace(loaded, trust=self.now.trust)
        self.now = loaded
