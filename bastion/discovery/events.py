"""· A page of a list, or an event of a watch, decoded as far as possible without knowing its objects."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

SLICE = 25  # objects decoded in one turn of the loop, or so many bytes of them
SLICE_BYTES = 65536


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _EventMeta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class _EventHead(msgspec.Struct):
    metadata: _EventMeta
    code: int = 0


class _Event(msgspec.Struct):
    """The fields that every event has; the object of an ERROR is a Status."""

    type: str
    object: _EventHead


read_page = msgspec.json.Decoder(Page).decode
read_event = msgspec.json.Decoder(_Event).decode


def in_slices(items: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    some: list[msgspec.Raw] = []
    size = 0
    for raw in items:
        some.append(raw)
        size += len(memoryview(raw))
        if len(some) == SLICE or size >= SLICE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
