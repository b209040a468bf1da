"""Every request that the readers of heads and bodies refuse, as a whole request.

The tables are those of tests/server; here their defects meet a real backend, and so do their repairs.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.e2e.harness import ALICE, Bastion, Place
from tests.e2e.wire import Backend, Visit, ask, backend, client, request
from tests.server import test_body, test_head

# On the wire an empty line is the end of a head, or nothing at all.
HEADS = [(*case.values, case.id) for case in test_head.REFUSED if case.id not in ("nothing", "empty-line")]
BODIES = [(*case.values, case.id) for case in test_body.REFUSED]

# The first slash of a request line is where its path begins, save in `HTTP/1.1` and in what stands before an
# authority.
_PATH = re.compile(rb"^([^/\r\n]*?(?:[a-z]+://[^/ ]*)?)/(?!/?1\.|[0-9]\.)")
# Repairs whose method is none of ours: they are read, and refused for that alone.
NOT_OURS = {"long-method"}
TUNNELS_OFF = {"authority-form"}


def aimed(head: bytes, path: str) -> bytes:
    """The same head, for what is behind `path`, with a credential and with the body that it promises."""
    head = _PATH.sub(lambda match: match[1] + path.encode(), head, count=1)
    line, crlf, fields = head.partition(b"\r\n")
    if fields.count(b"A: b") > 90:  # the credential takes the place of one of them
        fields = fields.replace(b"A: b\r\n", b"", 1)
    whole = (
        line + crlf + b"Authorization: Bearer " + ALICE.encode() + b"\r\n" + fields + b"\r\n\r\n"
        if crlf
        else head + b"\r\n\r\n"
    )
    if b"chunked" in fields.lower():
        return whole + b"0\r\n\r\n"
    length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", fields)
    return whole + b"x" * min(int(length[1]) if length else 0, 100)


async def taking(visit: Visit) -> None:
    """A backend that answers as soon as it was asked, and marks it."""
    await visit.head()
    await visit.answer(b"reached")
    await visit.ended()


async def outcome(bastion: Bastion, data: bytes) -> tuple[int, bool]:
    """(status, whether the backend was reached); the connection is closed after a refusal."""
    async with client(bastion) as wire:
        await wire.send(data)
        answer = await wire.answer(data.partition(b" ")[0].decode("latin-1"))
        if answer.status in (400, 431, 501, 505):
            assert await wire.ended() == b""
            assert answer.json()["kind"] == "Status"
        return answer.status, not answer.all("X-Bastion-Error")


@pytest.mark.parametrize(("defect", "repair", "code", "case"), HEADS, ids=[case[-1] for case in HEADS])  # type: ignore[misc]
def test_a_head_with_a_defect_reaches_nobody_and_its_repair_the_backend(
    bastion: Bastion, pod: Place, defect: bytes, repair: bytes, code: int, case: str
) -> None:
    async def main() -> None:
        async with backend(pod.address, taking) as behind:
            refused = 403 if case in TUNNELS_OFF else code
            assert await outcome(bastion, aimed(defect, pod.path())) == (refused, False)
            assert not behind.visits
            expected = (405, False) if case in NOT_OURS else (200, True)
            assert await outcome(bastion, aimed(repair, pod.path())) == expected

    asyncio.run(main())


@pytest.mark.parametrize(("defect", "repair", "case"), BODIES, ids=[case[-1] for case in BODIES])  # type: ignore[misc]
def test_a_body_with_a_defect_is_never_a_whole_request_and_its_repair_is(
    bastion: Bastion, pod: Place, defect: bytes, repair: bytes, case: str
) -> None:
    """The head may have reached the backend by then; the end of the body never does."""
    head = request(pod.path(), "Transfer-Encoding: chunked", method="POST")

    async def main() -> None:
        async with Backend().at(pod.address) as behind:
            async with client(bastion) as wire:
                await wire.send(head + defect + b"\r\n")
                answer = await wire.answer("POST")
                assert (answer.status, answer.one("X-Bastion-Error")) == (400, "UnreadableRequest")
                await wire.ended()
            assert not behind.requests
            assert (await ask(bastion, head + repair)).status == 200
            assert len(behind.requests) == 1

    asyncio.run(main())
