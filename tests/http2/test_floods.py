"""What makes more work than its requests are worth is counted, whatever the pieces in which it comes."""

from __future__ import annotations

import random

import pytest

from bastion.network.http2.floods import IDLE_FRAMES, PREFACE, RESETS, Floods, Frames
from tests.http2 import frames as f

GET = f.headers(1, f.request())
SAY_NOTHING = {
    "settings": f.settings(),
    "ping": f.frame(f.PING, 0, 0, bytes(8)),
    "priority": f.frame(f.PRIORITY, 0, 1, bytes(5)),
    "unknown": f.frame(0xEA, 0, 0, b"x"),
    "empty data": f.data(1, b""),
    "padding": f.frame(f.DATA, f.PADDED, 1, b"\x03\0\0\0"),
    "empty continuation": f.frame(f.CONTINUATION, 0, 1),
}
SAY_SOMETHING = {
    "head": GET,
    "data": f.data(1, b"x"),
    "the end": f.data(1, b"", end=True),
    "padded data": f.frame(f.DATA, f.PADDED, 1, b"\x03x\0\0\0"),
    "reset": f.reset(1),
}


@pytest.mark.parametrize("kind", [*SAY_NOTHING, *SAY_SOMETHING])
def test_what_says_nothing(kind: str) -> None:
    frame = (SAY_NOTHING | SAY_SOMETHING)[kind]
    assert Frames().feed(frame * 3) == ((3 if kind in SAY_NOTHING else 0), 0)


def test_windows_are_counted_apart() -> None:
    assert Frames().feed(f.window(1, 1) * 2 + f.window(0, 5)) == (0, 3)


def test_in_whatever_pieces_it_comes() -> None:
    chance = random.Random(7)
    came = b"".join(chance.choice([*SAY_NOTHING.values(), *SAY_SOMETHING.values()]) for _ in range(300))
    whole = Frames(PREFACE).feed(f.PREFACE + came)
    for _ in range(20):
        frames, at, counts = Frames(PREFACE), 0, [0, 0]
        data = f.PREFACE + came
        while at < len(data):
            size = chance.choice((1, 2, 8, 9, 10, 40))
            # padding is told by its first byte: a frame whose payload has not begun is taken for a full one
            if len(data) - at > size and data[at + size - 1 : at + size] == b"\x08":
                size += 8
            idle, windows = frames.feed(data[at : at + size])
            counts[0] += idle
            counts[1] += windows
            at += size
        assert counts[0] <= whole[0]
        assert counts[0] >= whole[0] - came.count(SAY_NOTHING["padding"])


def test_a_head_that_is_not_ended_is_known() -> None:
    frames = Frames()
    frames.feed(f.frame(f.HEADERS, 0, 1, b"x"))
    assert frames.in_head
    frames.feed(f.frame(f.CONTINUATION, f.END_HEADERS, 1, b"x"))
    assert not frames.in_head


@pytest.mark.parametrize(
    ("streams", "backwards"),
    [((1, 3, 5), False), ((1, 5, 3), True), ((5, 3), True), ((1, 1), False), ((3, 7, 3, 7), False)],
)
def test_a_stream_that_was_passed_over_is_never_opened(streams: tuple[int, ...], backwards: bool) -> None:
    frames = Frames()
    for stream in streams:
        frames.feed(f.headers(stream, f.request()))
    assert frames.backwards is backwards


def test_a_flood_ends_and_its_allowance_comes_back() -> None:
    floods = Floods()
    ping = SAY_NOTHING["ping"]
    assert floods.came(ping * int(IDLE_FRAMES), 0.0)
    assert not floods.came(ping, 0.0)
    assert floods.came(ping * 100, 1.1)


def test_a_reader_may_open_windows_for_what_it_was_sent() -> None:
    floods = Floods()
    for _ in range(5000):
        floods.wrote(16384)
        assert floods.came(f.window(0, 16384) + f.window(1, 16384), 0.0)


def test_streams_that_end_early_are_bounded() -> None:
    floods = Floods()
    assert all(floods.reset(0.0) for _ in range(int(RESETS)))
    assert not floods.reset(0.0)
    assert floods.reset(1.0)
