"""Heads out of the bytes of a connection, whatever pieces they come in; bytes in, a head, a refusal or "more"
out.
"""

from __future__ import annotations

import pytest

from bastion.kube.status import StatusError
from bastion.server.http1.head import MAX_HEAD, read_head
from bastion.server.http1.reader import HeadReader

GET = b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n"


def targets(*pieces: bytes) -> tuple[list[bytes], bytes]:
    """(the targets of the heads that were read, what is pending)."""
    reader, found = HeadReader(), []
    for piece in pieces:
        head = reader.read(read_head, piece)
        while head is not None:
            found.append(head.target)
            head = reader.read(
                read_head,
            )
    return found, reader.pending


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\r\n\r\n\r\n"], ids=["nothing", "a line", "lines"])
def test_a_head_is_the_same_in_any_two_pieces(before: bytes) -> None:
    data = before + GET + GET[:20]
    for cut in range(len(data) + 1):
        assert targets(data[:cut], data[cut:]) == ([b"/x"], GET[:20])


def test_a_head_is_the_same_byte_by_byte() -> None:
    data = GET + b"\r\n" + GET
    assert targets(*(data[at : at + 1] for at in range(len(data)))) == ([b"/x", b"/x"], b"")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"GET /x\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: h\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: h\rX", 400),
        (b"GET  /x HTTP/1.1\r\n", 400),
        (b"GET /x HTTP/3.0\r\n", 505),
        (b"GET /x HTTP/1.1\r\nA: " + b"a" * MAX_HEAD, 431),
        (b"GET /" + b"x" * MAX_HEAD, 414),
    ],
    ids=["LF", "LF in a field", "CR in a field", "request line", "version", "too large", "long target"],
)
def test_what_more_bytes_cannot_mend_is_refused_before_they_come(data: bytes, code: int) -> None:
    with pytest.raises(StatusError) as caught:
        targets(data)
    assert (caught.value.code, caught.value.close) == (code, True)
    with pytest.raises(StatusError) as again:
        targets(*(data[at : at + 7000] for at in range(0, len(data), 7000)))
    assert again.value.code == code


def test_what_is_held_is_read_after_what_came_before() -> None:
    reader = HeadReader()
    assert reader.read(read_head, GET + b"body") is not None
    assert reader.take() == b"body"
    reader.hold(GET[:9])
    reader.hold(GET[9:])
    head = reader.read(
        read_head,
    )
    assert head is not None
    assert (head.target, reader.pending) == (b"/x", b"")
