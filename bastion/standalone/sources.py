"""The files that the embedded API serves: reads them, follows them, and shows what changed to its clients."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Sequence
from pathlib import Path

from bastion.runtime.follow import FollowedInThread
from bastion.standalone.manifests import load, manifest_files
from bastion.standalone.state import ClusterContents, ClusterState, cluster_contents
from bastion.standalone.tokens import read_tokens
from bastion.standalone.watches import Watches

BOOTSTRAP = Path(__file__).with_name("bootstrap.yaml")

log = logging.getLogger("bastion.standalone")


class Sources:
    """Manifests and, where there is one, a token file; what they say goes into `state`."""

    def __init__(
        self, manifests: Sequence[Path], token_file: Path | None, state: ClusterState, watches: Watches
    ) -> None:
        self._state = state
        self._watches = watches
        defaults = load([BOOTSTRAP]).objects
        self._manifests = FollowedInThread(
            lambda: manifest_files(manifests), lambda: cluster_contents(load(manifests), defaults)
        )
        self._tokens = (
            FollowedInThread(lambda: [token_file], lambda: read_tokens(token_file)) if token_file else None
        )
        self._warned: set[tuple[str, str]] = set()

    async def load(self) -> None:
        """Raises ManifestError, TokenFileError."""
        self._show(await self._manifests.load())
        if self._tokens is not None:
            self._state.tokens = await self._tokens.load()

    async def follow(self, interval: float) -> None:
        """Checks the files every `interval` seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self._check()
            except Exception as error:
                log.error("the files could not be read again: %r", error)

    async def _check(self) -> None:
        if (contents := await self._manifests.changed()) is not None:
            self._show(contents)
        if self._tokens is not None and (tokens := await self._tokens.changed()) is not None:
            self._state.tokens = tokens
            log.info("token file read again: %d tokens", len(tokens))

    def _show(self, contents: ClusterContents) -> None:
        for file, kind in sorted(contents.skipped - self._warned):
            log.warning("%s: kind %s is not served here and was left out", file, kind)
        self._warned |= contents.skipped
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        changes = self._state.show(contents, now)
        self._watches.notify()
        log.info(
            "manifests read: %d added, %d modified, %d deleted",
            changes.added,
            changes.modified,
            changes.deleted,
        )
