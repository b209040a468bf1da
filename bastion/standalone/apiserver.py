"""The embedded API as a server: reads its files, listens with TLS, follows the files, stops.

Its clients reach it over HTTPS like any API server, also those in its own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from pathlib import Path

from bastion.kube.kubeconfig import context_name, kubeconfig
from bastion.kube.user import User
from bastion.runtime.certificates import Authority
from bastion.runtime.trust import server_context
from bastion.standalone import openapi
from bastion.standalone.app import StandaloneApi
from bastion.standalone.discovery import documents
from bastion.standalone.rbac import SUPERUSERS
from bastion.standalone.serving import host_and_port, listen, serving
from bastion.standalone.sources import Sources
from bastion.standalone.state import ClusterState
from bastion.standalone.store import HISTORY
from bastion.standalone.watches import BOOKMARK_INTERVAL, Watches

INTERNAL_CONTEXT = "bastion"
INTERNAL_USER = User("system:bastion", groups=(SUPERUSERS,))

log = logging.getLogger("bastion.standalone")


class ApiServer:
    """Use as an asynchronous context manager; `url` is known inside of it.

    `poll_interval` and `bookmark_interval` in seconds.  `extra_tokens`: token -> user, beside those of the
    file.
    """

    def __init__(
        self,
        manifests: Sequence[Path],
        token_file: Path | None,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        poll_interval: float = 0.5,
        extra_tokens: Mapping[str, User] = {},
        bookmark_interval: float = BOOKMARK_INTERVAL,
        history: int = HISTORY,
    ) -> None:
        self.calls: Counter[str] = Counter()
        self.url = ""
        self._authority = Authority("bastion standalone")
        self.ca = self._authority.pem
        self._token = secrets.token_urlsafe(32)
        # Revisions start at the clock, so that a client of an earlier process is told to list again.
        self._state = ClusterState(
            {**extra_tokens, self._token: INTERNAL_USER}, int(time.time()), history, bookmark_interval
        )
        self._watches = Watches(self._state.store, bookmark_interval)
        self._sources = Sources(manifests, token_file, self._state, self._watches)
        self._listen_at = (address, port)
        self._poll_interval = poll_interval
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> ApiServer:
        """Raises ManifestError, TokenFileError, and OSError where the port is taken."""
        await self._sources.load()
        listener = listen(*self._listen_at)
        async with contextlib.AsyncExitStack() as opening:
            opening.callback(listener.close)
            address = self._listen_at[0]
            where = host_and_port(listener, address)
            names = dict.fromkeys(("localhost", "127.0.0.1", "::1", address))
            api = StandaloneApi(
                self._state, self._watches, {**documents(where), **openapi.documents()}, self.calls
            )
            tls = server_context(self._authority.issue(list(names)))
            await opening.enter_async_context(serving(api, tls, listener))
            self.url = f"https://{where}"
            following = self._sources.follow(self._poll_interval)
            await opening.enter_async_context(_running(following, "standalone: follow files"))
            self._open = opening.pop_all()
        log.info("listening at %s", self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def kubeconfig(self) -> str:
        """YAML with the internal identity as the first and current context, and one context per user of the
        token file.
        """
        of_user = {user.name: token for token, user in self._state.tokens.items()}
        contexts = {INTERNAL_CONTEXT: self._token}
        for name, token in of_user.items():
            contexts[context_name(name, contexts)] = token
        return kubeconfig(self.url, self.ca, contexts)


@contextlib.asynccontextmanager
async def _running(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
