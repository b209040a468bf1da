"""· Is a watch between two events, so that it can end as HTTP ends and its client goes on from there?"""

from __future__ import annotations

from bastion.http.fields import Field, first_value

_LENGTH = 4  # bytes before each event in protobuf (apimachinery `util/framer`)


class Lines:
    """JSON: an event is a line."""

    def __init__(self) -> None:
        self.whole = True

    def feed(self, data: bytes) -> None:
        if data:
            self.whole = data[-1:] == b"\n"


class Frames:
    """Protobuf: an event follows its length."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    @property
    def whole(self) -> bool:
        return not self._left and not self._head

    def feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                step = min(_LENGTH - len(self._head), len(data) - at)
                self._head += data[at : at + step]
                if len(self._head) == _LENGTH:
                    self._left, self._head = int.from_bytes(self._head, "big"), b""
            at += step


class Unknown:
    """Nothing tells where an event ends."""

    whole = False

    def feed(self, data: bytes) -> None:
        pass


Events = Lines | Frames | Unknown


def events_of(status: int, fields: list[Field]) -> Events:
    kind, _, parameters = first_value(fields, b"content-type").lower().partition(b";")
    if status != 200 or first_value(fields, b"content-encoding"):
        return Unknown()
    if kind == b"application/json":
        return Lines()
    protobuf = kind == b"application/vnd.kubernetes.protobuf" and b"stream=watch" in parameters
    return Frames() if protobuf else Unknown()
