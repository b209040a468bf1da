"""Two workers of a replica are shown the same session at its end: it is refreshed once, and both have it."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import structs

from bastion.authn.tokenendpoint import Refused
from bastion.http.fields import Field
from bastion.identity.signedin import SignedIn
from bastion.message.cookies import SESSION, set_pieces
from bastion.proxy.renewal import Renewals
from bastion.proxy.standing import Standings
from bastion.signin.newest import NewestSessions
from bastion.signin.notes import FolderNotes
from bastion.signin.once import FolderUsedIds
from bastion.signin.revoked import Revocations
from bastion.signin.sealed import KEY_BYTES, Sealer
from bastion.signin.session import Session, Sessions

HOST = b"bastion.test"
SESSIONS = Sessions(Sealer(b"k" * KEY_BYTES, os.urandom))


class Issuer:
    """Takes a refresh token once."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.asked: list[str] = []
        self.refuses = refuses

    async def refresh(self, session: Session) -> Session:
        self.asked.append(session.refresh)
        await asyncio.sleep(0.2)
        if self.refuses:
            raise Refused("invalid_grant")
        assert session.signed_in is not None
        now = int(time.time())
        newer = structs.replace(session.signed_in, issued=now, until=now + 600)
        return structs.replace(session, signed_in=newer, refresh="next")


@dataclass
class Request:
    fields: list[Field]
    host: bytes = HOST
    added: tuple[Field, ...] = field(default=())


def worker(folder: Path, issuer: Issuer) -> tuple[Renewals, Standings]:
    standings = Standings(["main"], NewestSessions(), Revocations(None, time.time))
    used, notes = FolderUsedIds(folder), FolderNotes(folder)
    providers: Any = {"main": issuer}
    return Renewals(providers, SESSIONS, standings, used, notes, time.time), standings


def expired() -> tuple[Session, Request]:
    now = int(time.time())
    anna = SignedIn(b"1", "main", "anna", "s1", "main:anna", (), now - 60, now - 60, now - 1)
    session = Session("", now + 900, anna, "first")
    value, seconds = SESSIONS.seal(SESSION, HOST.decode(), session, now)
    cookies = b"; ".join(line.partition(b";")[0] for line in set_pieces([], SESSION, value, seconds))
    return session, Request([(b"cookie", b"Cookie", cookies)])


def test_one_worker_asks_the_issuer_and_the_other_hears_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        issuer = Issuer()
        workers = [worker(tmp_path, issuer) for _ in range(2)]
        session, request = expired()
        requests = [again(request) for _ in range(20)]
        await asyncio.gather(
            *(workers[n % 2][0].look(one) for n, one in enumerate(requests))  # type: ignore[arg-type]
        )
        assert issuer.asked == ["first"]
        assert session.signed_in is not None
        for _, standings in workers:
            standing = standings.of(session.signed_in)
            assert not standing.waits
            assert standing.newest is not None
            assert standing.newest.until > time.time()
        assert all(one.added for one in requests)
        assert all((file.stat().st_mode & 0o077) == 0 for file in tmp_path.iterdir())
        assert not any(b"first" in file.read_bytes() for file in tmp_path.iterdir())

    asyncio.run(main())


def test_both_hear_that_the_issuer_refuses(tmp_path: Path) -> None:
    async def main() -> None:
        issuer = Issuer(refuses=True)
        workers = [worker(tmp_path, issuer) for _ in range(2)]
        session, request = expired()
        began = time.monotonic()
        await asyncio.gather(*(one.look(again(request)) for one, _ in workers))  # type: ignore[arg-type]
        assert issuer.asked == ["first"]
        assert session.signed_in is not None
        assert [standings.of(session.signed_in).waits for _, standings in workers] == [False, False]
        assert time.monotonic() - began < 4

    asyncio.run(main())


def again(request: Request) -> Request:
    return Request(list(request.fields))
