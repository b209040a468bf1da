"""Is a place at a target for what waits for the backend, and not for a client that dawdles?"""

from __future__ import annotations

import asyncio

from bastion.kube.status import bad_request
from bastion.proxy.waiting import Place, Upload
from bastion.runtime.limits import Shares
from tests.fakes import run, settle


class SlowBody:
    """`pieces` are put by the client; an exception is raised."""

    length = None
    chunked = True
    touched = False
    trailers = ()

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    async def read(self) -> bytes:
        piece = await self.pieces.get()
        if isinstance(piece, Exception):
            raise piece
        return piece


def test_while_the_client_is_waited_for_the_place_is_somebody_elses() -> None:
    async def main() -> None:
        shares, body = Shares(1), SlowBody()
        assert shares.enter("t", "mallory")
        upload = Upload(body, Place(shares, "t", "mallory"))
        assert not shares.enter("t", "mallory")
        reading = asyncio.create_task(upload.read())
        await settle()
        assert shares.enter("t", "mallory")
        body.pieces.put_nowait(b"last")
        assert await reading == b"last"
        shares.leave("t", "mallory")
        assert not shares.enter("t", "mallory"), "the backend has the request, and is waited for"

    run(main())


def test_however_it_ends_nothing_is_left() -> None:
    async def main() -> None:
        for ending in ("answered early", "cancelled", "broken", "plain"):
            shares, body = Shares(1), SlowBody()
            assert shares.enter("t", "a")
            place = Place(shares, "t", "a")
            reading = asyncio.create_task(Upload(body, place).read())
            await settle()
            if ending == "answered early":
                place.leave()
                body.pieces.put_nowait(b"more")
            elif ending == "cancelled":
                reading.cancel()
            else:
                body.pieces.put_nowait(bad_request("chunks") if ending == "broken" else b"")
            await asyncio.gather(reading, return_exceptions=True)
            place.leave()
            place.leave()
            assert len(shares) == 0, ending

    run(main())
