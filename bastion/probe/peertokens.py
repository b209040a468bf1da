"""With which token do replicas ask each other, and whose do they accept?

Workers of one machine share a secret in their private folder; pods show their service account's token with an
audience that is good for nothing else.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from bastion.authn.authenticator import Credentials, CredentialsRefused
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.private import write_private
from bastion.runtime.turns import BACKGROUND, Key

FILE = "probe-peers"
Judge = Callable[[Credentials, Key], Awaitable[User | None]]


class PeerTokens:
    """`folder` is what workers share; `judge` reviews tokens, for the audience of peers."""

    def __init__(self, folder: Path | None, file: Path | None, judge: Judge) -> None:
        self._secret = _shared_secret(folder) if folder is not None else ""
        self._file = file
        self._judge = judge

    def own(self) -> str:
        """Raises OSError."""
        return self._file.read_text().strip() if self._file is not None else self._secret

    async def accepts(self, token: str) -> bool:
        if self._secret and hmac.compare_digest(token.encode(), self._secret.encode()):
            return True
        if self._file is None:
            return False
        try:
            user = await self._judge(Credentials(token), BACKGROUND)
            own = await self._judge(Credentials(self.own()), BACKGROUND)
        except (CredentialsRefused, StatusError, OSError):
            return False
        return user is not None and own is not None and user.name == own.name


def _shared_secret(folder: Path) -> str:
    """The first of the workers makes it."""
    file = folder / FILE
    try:
        return file.read_text()
    except FileNotFoundError:
        pass
    mine = folder / f"{FILE}-{secrets.token_hex(8)}"
    write_private(mine, secrets.token_urlsafe(32).encode())
    try:
        file.hardlink_to(mine)
    except FileExistsError:
        pass
    mine.unlink()
    return file.read_text()
