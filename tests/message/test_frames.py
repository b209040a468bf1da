"""Does a WebSocket stream stand at the end of a frame?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.message.frames import GOING_AWAY, MOST, POLICY_VIOLATION, FrameCounter

LENGTHS = st.sampled_from([0, 1, 2, 124, 125, 126, 127, 255, 256, 1000, 65535, 65536, 65537]) | st.integers(
    0, 300
)


def frame(length: int, *, opcode: int = 2, fin: bool = True, mask: bytes = b"", wide: int = 0) -> bytes:
    """`wide`: the length in 2 or 8 bytes although fewer would do."""
    width = wide or (0 if length < 126 else 2 if length < 65536 else 8)
    second = {0: length, 2: 126, 8: 127}[width] | (0x80 if mask else 0)
    return (
        bytes((0x80 * fin | opcode, second))
        + (length.to_bytes(width, "big") if width else b"")
        + mask
        + b"\xff" * length
    )


def frames() -> st.SearchStrategy[bytes]:
    """One frame: any kind, any length, masked or not, its length written as short as may be or not."""

    def widths(length: int) -> st.SearchStrategy[int]:
        return st.sampled_from([0, 8] if length > 65535 else [0, 2, 8])

    return LENGTHS.flatmap(
        lambda length: st.builds(
            frame,
            st.just(length),
            opcode=st.sampled_from([0, 1, 2, 8, 9, 10]),
            fin=st.booleans(),
            mask=st.sampled_from([b"", b"\x00\x01\x02\x03"]),
            wide=widths(length),
        )
    )


def ends(stream: bytes) -> set[int]:
    """Where the frames of a stream end: read straight on, as RFC 6455, 5.2 has it."""
    found, at = {0}, 0
    while at < len(stream):
        second = stream[at + 1]
        length, at = second & 127, at + 2
        if length > 125:
            width = 2 if length == 126 else 8
            length, at = int.from_bytes(stream[at : at + width], "big"), at + width
        at += length + (4 if second & 128 else 0)
        found.add(at)
    return found


@given(st.lists(frames(), min_size=1, max_size=6), st.data())
def test_however_a_stream_is_cut_the_answer_is_that_of_a_parser(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(sent)
    near = {at + step for at in ends(stream) for step in range(-12, 15)}
    cuts = st.integers(0, len(stream)) | st.sampled_from(sorted(at for at in near if 0 <= at <= len(stream)))
    chosen = sorted(data.draw(st.lists(cuts, max_size=20)))
    counter, boundaries = FrameCounter(), ends(stream)
    for begin, end in zip([0, *chosen], [*chosen, len(stream)], strict=True):
        counter.feed(stream[begin:end])
        assert counter.at_boundary == (end in boundaries), end


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536])
@pytest.mark.parametrize("mask", [b"", b"mask"])
@pytest.mark.parametrize("wide", [0, 2, 8])
def test_byte_by_byte_only_the_last_one_ends_a_frame(length: int, mask: bytes, wide: int) -> None:
    if wide == 2 and length > 65535:
        return
    counter, sent = FrameCounter(), frame(length, mask=mask, wide=wide)
    for i in range(len(sent) - 1):
        counter.feed(sent[i : i + 1])
        assert not counter.at_boundary, i
    counter.feed(sent[-1:])
    assert counter.at_boundary


def test_a_stream_begins_at_a_boundary_and_nothing_changes_that() -> None:
    counter = FrameCounter()
    assert counter.at_boundary
    counter.feed(b"")
    assert counter.at_boundary


def test_nothing_fed_in_the_midst_of_a_head_changes_nothing() -> None:
    counter = FrameCounter()
    for piece in (b"\x82", b"", b"\x7e", b"", b"\x00\x02", b"", b"a", b""):
        counter.feed(piece)
        assert not counter.at_boundary
    counter.feed(b"b")
    assert counter.at_boundary


def test_a_length_that_no_frame_can_have_ends_nothing() -> None:
    """RFC 6455 forbids the highest bit; who sends it all the same is not at a boundary for a long time."""
    counter = FrameCounter()
    counter.feed(b"\x82\x7f" + b"\xff" * 8 + b"x" * 1000)
    assert not counter.at_boundary


@pytest.mark.parametrize(("close", "code"), [(POLICY_VIOLATION, 1008), (GOING_AWAY, 1001)])
def test_our_close_frames_are_whole_and_unmasked(close: bytes, code: int) -> None:
    assert close == b"\x88\x02" + code.to_bytes(2, "big")
    counter = FrameCounter()
    counter.feed(close)
    assert counter.at_boundary


def test_of_very_many_frames_nobody_counts_the_rest() -> None:
    counter = FrameCounter()
    counter.feed(frame(0) * MOST)
    assert counter.at_boundary
    counter.feed(frame(0) * (MOST + 1))
    assert not counter.at_boundary
    counter.feed(frame(5))
    assert not counter.at_boundary
