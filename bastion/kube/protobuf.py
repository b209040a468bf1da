"""· Reads reviews in protobuf: kubectl and client-go send `auth can-i` so, and do not fall back to JSON.

Only strings, and messages of them: a review has no other fields.  Sources: apimachinery
`runtime/serializer/protobuf` (the envelope), `k8s.io/api/authentication/v1/generated.proto` and
`authorization/v1` (the field numbers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class MessageFields:
    """Field number -> name, by the kind of the field: a string, several, a message, a map of messages to
    string.
    """

    strings: dict[int, str] = field(default_factory=dict)
    lists: dict[int, str] = field(default_factory=dict)
    messages: dict[int, tuple[str, MessageFields]] = field(default_factory=dict)
    maps: dict[int, str] = field(default_factory=dict)


METADATA = MessageFields({1: "name", 3: "namespace"})
RESOURCE = MessageFields(
    dict(enumerate(("namespace", "verb", "group", "version", "resource", "subresource", "name"), 1))
)
PATH = MessageFields({1: "path", 2: "verb"})
ATTRIBUTES = {1: ("resourceAttributes", RESOURCE), 2: ("nonResourceAttributes", PATH)}
EXTRA_VALUES = MessageFields(lists={1: "items"})
SPECS = {
    "TokenReview": MessageFields({1: "token"}, {2: "audiences"}),
    "SelfSubjectReview": MessageFields(),  # it asks nothing
    "SelfSubjectAccessReview": MessageFields(messages=ATTRIBUTES),
    "SelfSubjectRulesReview": MessageFields({1: "namespace"}),
    "SubjectAccessReview": MessageFields({3: "user", 6: "uid"}, {4: "groups"}, ATTRIBUTES, {5: "extra"}),
}
ENVELOPE = MessageFields(
    {3: "contentEncoding"}, messages={1: ("type", MessageFields({1: "apiVersion", 2: "kind"}))}
)
RAW = 2


def review(body: bytes, kind: str) -> dict[str, Any]:
    """The review as it would be in JSON, without its status.  Raises ValueError."""
    if not body.startswith(MAGIC):
        raise ValueError("does not begin as a Kubernetes protobuf message does")
    envelope = body[len(MAGIC) :]
    raw = b"".join(value for number, value in _fields(envelope) if number == RAW)
    outer = read(envelope, ENVELOPE)
    if outer.get("contentEncoding"):
        raise ValueError("has an unknown content encoding")
    inner = MessageFields(messages={1: ("metadata", METADATA), 2: ("spec", SPECS[kind])})
    return {**outer.get("type", {}), **read(raw, inner)}


def read(data: bytes, message: MessageFields) -> dict[str, Any]:
    """Raises ValueError."""
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        if number in message.strings:
            found[message.strings[number]] = value.decode()
        elif number in message.lists:
            found.setdefault(message.lists[number], []).append(value.decode())
        elif number in message.messages:
            name, inner = message.messages[number]
            found[name] = {**found.get(name, {}), **read(value, inner)}
        elif number in message.maps:
            entry = read(value, MessageFields({1: "key"}, messages={2: ("value", EXTRA_VALUES)}))
            found.setdefault(message.maps[number], {})[entry.get("key", "")] = entry.get("value", {}).get(
                "items", []
            )
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, bytes) of each field that has a length; numbers are passed over."""
    return ((number, value) for number, value in wire_fields(data) if isinstance(value, bytes))


def wire_fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, its bytes or its whole number) of each field.  Raises ValueError."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == VARINT:
            number, position = _varint(data, position)
            yield tag >> 3, number
            continue
        length = {FIXED64: 8, FIXED32: 4}.get(wire)
        if wire == BYTES:
            length, position = _varint(data, position)
        if length is None or position + length > len(data):
            raise ValueError("is no protobuf message")
        if wire == BYTES:
            yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it); at most ten bytes."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("is no protobuf message")
