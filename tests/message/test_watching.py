"""Where a watch may be ended."""

from __future__ import annotations

import pytest

from bastion.message.watching import events_of

JSON = (b"content-type", b"Content-Type", b"application/json")
PROTOBUF = (b"content-type", b"Content-Type", b"application/vnd.kubernetes.protobuf;stream=watch")
FRAME = b"\0\0\0\3abc"


@pytest.mark.parametrize(
    ("field", "pieces", "whole"),
    [
        (JSON, [], True),
        (JSON, [b'{"a"'], False),
        (JSON, [b'{"a"', b":1}\n"], True),
        (JSON, [b"{}\n{"], False),
        (PROTOBUF, [], True),
        (PROTOBUF, [FRAME], True),
        (PROTOBUF, [FRAME + FRAME[:2]], False),
        (PROTOBUF, [FRAME + FRAME[:2], FRAME[2:]], True),
        (PROTOBUF, [FRAME[:5], FRAME[5:6]], False),
        (PROTOBUF, [b"\0\0\0\0", FRAME], True),
        ((b"content-type", b"Content-Type", b"application/cbor-seq"), [b"a\n"], False),
    ],
)
def test_between_two_events(field: tuple[bytes, bytes, bytes], pieces: list[bytes], whole: bool) -> None:
    events = events_of(200, [field])
    for piece in pieces:
        events.feed(piece)
    assert events.whole is whole


def test_what_is_no_stream_of_events_has_no_such_place() -> None:
    assert not events_of(403, [JSON]).whole
    assert not events_of(200, [JSON, (b"content-encoding", b"Content-Encoding", b"gzip")]).whole
