"""Ten thousand random frames, in both directions at once: the bytes that go in are the bytes that come
out.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator

import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from tests.e2e.harness import Bastion, Place
from tests.e2e.wire import Visit, Wire, backend
from tests.tunnel.ends import accepting, place, tunnel

FRAMES = 10_000
SIZES = (0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 4096)
LARGE = (16_384, 65_535, 65_536, 65_537, 200_000)


def messages(chance: random.Random) -> Iterator[list[tuple[Opcode, bytes, bool]]]:
    """(opcode, payload, whether it is the last) of the frames of a message, controls among them."""
    while True:
        text, pieces = chance.random() < 0.5, chance.choice((1, 1, 1, 2, 3, 8))
        frames = []
        for number in range(pieces):
            size = (
                chance.choice((chance.choice(SIZES), chance.randrange(2000)))
                if chance.random() < 0.995
                else chance.choice(LARGE)
            )
            payload = b"x" * size if text else chance.randbytes(size)
            frames.append((Opcode.TEXT if text else Opcode.BINARY, payload, number == pieces - 1))
            if chance.random() < 0.1:
                frames.append(
                    (chance.choice((Opcode.PING, Opcode.PONG)), chance.randbytes(chance.randrange(126)), True)
                )
        yield frames


def frames(count: int, *, client: bool, seed: int) -> list[bytes]:
    """Each frame as it stands on the wire; those of a client are masked."""
    maker, made = FrameProtocol(client=client, extensions=[]), list[bytes]()
    for message in messages(random.Random(seed)):
        for opcode, payload, last in message:
            if opcode == Opcode.PING:
                made.append(bytes(maker.ping(payload)))
            elif opcode == Opcode.PONG:
                made.append(bytes(maker.pong(payload)))
            else:
                made.append(
                    bytes(maker.send_data(payload.decode() if opcode == Opcode.TEXT else payload, fin=last))
                )
        if len(made) >= count:
            return made
    raise AssertionError("there is always another message")


def pieces(stream: bytes, seed: int) -> Iterator[bytes]:
    """Cut anywhere: now in the midst of heads, now many frames in one."""
    chance, at = random.Random(seed), 0
    while at < len(stream):
        size = chance.choice((1, 2, 3, 7, 100, 1460, 20_000, 100_000))
        yield stream[at : at + size]
        at += size


async def pour(wire: Wire, stream: bytes, seed: int) -> None:
    for piece in pieces(stream, seed):
        await wire.send(piece)


async def digest(wire: Wire, size: int) -> str:
    seen = hashlib.sha256()
    while size:
        data = await wire.reader.read(min(size, 1 << 16))
        assert data, f"{size} bytes did not arrive"
        seen.update(data)
        size -= len(data)
    return seen.hexdigest()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_random_frames_pass_unchanged(bastion: Bastion, pod: Place, tls: bool) -> None:
    there, back = frames(FRAMES, client=True, seed=1), frames(FRAMES, client=False, seed=2)
    assert min(len(there), len(back)) >= FRAMES
    assert len({len(frame) for frame in there}) > 500
    to_backend, to_client = b"".join(there), b"".join(back)

    async def main() -> None:
        arrived = asyncio.get_running_loop().create_future()

        async def serve(visit: Visit) -> None:
            sending = asyncio.create_task(pour(visit, to_client, 3))
            arrived.set_result(await digest(visit, len(to_backend)))
            await sending

        path, where = place(pod, bastion, tls)
        async with (
            backend(pod.address, accepting(serve), **where),
            tunnel(bastion, path, plain=not tls) as wire,
        ):
            sending = asyncio.create_task(pour(wire, to_backend, 4))
            assert await digest(wire, len(to_client)) == hashlib.sha256(to_client).hexdigest()
            assert await arrived == hashlib.sha256(to_backend).hexdigest()
            await sending

    asyncio.run(main())
