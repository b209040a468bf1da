"""Static tokens from a file (--token-auth-file): kube-apiserver's CSV, `token,user,uid,"group,group"`."""

from __future__ import annotations

import csv
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

from bastion.authn.authenticator import NOBODY, Credentials
from bastion.kube.user import User, authenticated
from bastion.runtime.errors import StartError
from bastion.runtime.turns import Asker
from bastion.runtime.validity import CachedResult


class TokenFileError(StartError):
    """Names file and line, never a token."""


class TokenTable:
    """Looked up by digest, so that the time taken does not reveal how much of a guess was right."""

    def __init__(self, tokens: dict[str, User]) -> None:
        self._key = secrets.token_bytes(32)
        self._users: dict[bytes, CachedResult[User | None]] = {
            self._digest(token): CachedResult(authenticated(user)) for token, user in tokens.items()
        }

    def owner(self, token: str) -> CachedResult[User | None]:
        return self._users.get(self._digest(token), NOBODY)

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), key=self._key, digest_size=32).digest()


class TokenFileAuthenticator:
    """`tokens` is called for each request, so that a changed file counts at once."""

    def __init__(self, tokens: Callable[[], TokenTable]) -> None:
        self._tokens = tokens

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        return self.known(credentials).value

    def known(self, credentials: Credentials) -> CachedResult[User | None]:
        """The user, valid until the file changes."""
        return self._tokens().owner(credentials.token) if credentials.token is not None else NOBODY


def read_token_file(path: Path) -> dict[str, User]:
    """Raises TokenFileError, or OSError where the file cannot be read."""
    tokens: dict[str, User] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, skipinitialspace=True, strict=True)
        try:
            for row in rows:
                if row:
                    token, user = _entry(row, f"{path}: line {rows.line_num}")
                    tokens[token] = user
        except (csv.Error, UnicodeDecodeError) as error:
            raise TokenFileError(f"{path}: line {rows.line_num}: not a CSV file in UTF-8") from error
    return tokens


def _entry(row: list[str], where: str) -> tuple[str, User]:
    if len(row) < 3:
        raise TokenFileError(f"{where}: needs at least three columns: token,user,uid")
    token, name, uid = row[0], row[1], row[2]
    if not token or not name:
        raise TokenFileError(f"{where}: the token and the user may not be empty")
    groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
    return token, User(name, uid, groups)
