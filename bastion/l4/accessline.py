"""What does the access log say of a connection?  A line of JSON, or of text."""

from __future__ import annotations

import msgspec

from bastion.observe.moments import rfc3339

CLEAN = "closed"  # both sides ended by themselves


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A connection that is over; `at` in seconds of the epoch, `name` is the host that a TLS client named."""

    at: float
    client: tuple[str, int]
    server: str
    seconds: float
    bytes_in: int
    bytes_out: int
    end: str
    name: str = ""

    @property
    def user(self) -> None:
        """No connection is known to be of a user."""
        return None


class _Line(msgspec.Struct, omit_defaults=True):
    time: str
    msg: str
    client: str
    seconds: float
    bytesIn: int
    bytesOut: int
    end: str
    server: str = ""
    name: str = ""


_encode = msgspec.json.Encoder().encode


def json_line(ended: Ended, _: str = "") -> bytes:
    return _encode(
        _Line(
            rfc3339(ended.at),
            "connection",
            _written(ended.client),
            round(ended.seconds, 4),
            bytesIn=ended.bytes_in,
            bytesOut=ended.bytes_out,
            end=ended.end,
            server=ended.server,
            name=ended.name,
        )
    )


def text_line(ended: Ended, _: str = "") -> bytes:
    name = f" for {ascii(ended.name)[1:-1]}" if ended.name else ""
    where = f"{_written(ended.client)} -> {ended.server or '-'}{name}"
    moved = f"{ended.bytes_in} in, {ended.bytes_out} out"
    return f"{rfc3339(ended.at)} {where} {ended.seconds:.3f}s {moved}: {ended.end}".encode()


def _written(peer: tuple[str, int]) -> str:
    address, port = peer
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
