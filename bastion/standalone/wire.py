"""· Objects in protobuf, as `kubectl create` sends them and does not fall back to JSON: bytes in, JSON out.

A field that the table has not is refused by its number: an object must not be kept without a part of it.
"""

from __future__ import annotations

import base64
from typing import Any

from bastion.kube.protobuf import ENVELOPE, MAGIC, RAW, read, wire_fields
from bastion.standalone.resources import Object
from bastion.standalone.wirekinds import KINDS, METADATA, As, Message, Several

Value = bytes | int
SET = (As.NUMBER_SET, As.TRUTH_SET)


def read_protobuf(body: bytes) -> Object:
    """Raises ValueError."""
    if not body.startswith(MAGIC):
        raise ValueError("does not begin as a Kubernetes protobuf message does")
    envelope = body[len(MAGIC) :]
    type = read(envelope, ENVELOPE).get("type", {})
    kind = type.get("kind", "")
    if kind not in KINDS:
        raise ValueError(f"a {kind or 'message without a kind'} is not read from protobuf here: send JSON")
    raw = b"".join(
        value for number, value in wire_fields(envelope) if number == RAW and isinstance(value, bytes)
    )
    return {**type, **_message(raw, {1: ("metadata", METADATA), **KINDS[kind]}, kind)}


def _message(data: bytes, message: Message, where: str) -> Object:
    found: Object = {}
    for number, raw in wire_fields(data):
        if number not in message:
            if raw:
                raise ValueError(f"field {number} of {where} is not read from protobuf here: send JSON")
            continue
        name, how = message[number]
        value = _value(raw, how, f"{where}.{name}")
        if isinstance(how, Several) or how is As.TEXTS:
            found.setdefault(name, []).append(value)
        elif isinstance(value, dict) and (value or how == {}):
            found[name] = {**found.get(name, {}), **value}
        elif value or how in SET:
            found[name] = value
    return found


def _value(raw: Value, how: Any, where: str) -> Any:
    if how is As.NOTHING:
        return None
    if isinstance(raw, int):
        return bool(raw) if how in (As.TRUTH, As.TRUTH_SET) else raw
    match how:
        case As.TEXT | As.TEXTS:
            return raw.decode()
        case As.BYTES:
            return base64.b64encode(raw).decode()
        case As.TEXT_MAP:
            return _entry(raw, As.TEXT, where)
        case As.BYTES_MAP:
            return _entry(raw, As.BYTES, where)
        case As.QUANTITY_MAP:
            return {key: one["string"] for key, one in _entry(raw, {1: ("string", As.TEXT)}, where).items()}
        case As.PORT:
            port = _message(
                raw, {1: ("type", As.NUMBER), 2: ("number", As.NUMBER), 3: ("name", As.TEXT)}, where
            )
            return port.get("name", "") if port.get("type") else port.get("number", 0)
        case Several():
            return _message(raw, how.of, where)
        case dict():
            return _message(raw, how, where)
    raise ValueError(f"{where} has another type than it must have")


def _entry(raw: bytes, how: Any, where: str) -> Object:
    entry = _message(raw, {1: ("key", As.TEXT), 2: ("value", how)}, where)
    return {entry.get("key", ""): entry.get("value", {} if isinstance(how, dict) else "")}
