"""· Objects and patches that clients send: read as JSON or protobuf, merged into what there is."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from bastion.kube import protobuf
from bastion.kube.status import StatusError, bad_request
from bastion.standalone.resources import Object
from bastion.standalone.wire import read_protobuf

JSON = "application/json"


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_json(body: bytes) -> Any:
    """Raises StatusError 400."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is not JSON: {error}") from error


def read_object(body: bytes, content_type: str) -> Object:
    """Raises StatusError 400, 415."""
    kind = media_type(content_type)
    if kind == protobuf.MEDIA_TYPE:
        try:
            return read_protobuf(body)
        except ValueError as error:
            raise StatusError(415, "UnsupportedMediaType", f"the body {error}") from None
    if kind != JSON:
        message = f"{kind} is not taken here: {JSON}, {protobuf.MEDIA_TYPE}"
        raise StatusError(415, "UnsupportedMediaType", message)
    value = read_json(body)
    if not isinstance(value, dict):
        raise bad_request("the body must be an object")
    return value


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def encode_strings(secret: Object) -> None:
    """`stringData` is another way to write `data`, and is never read back."""
    strings = secret.pop("stringData", {})
    if strings:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in strings.items()}
        secret["data"] = {**secret.get("data", {}), **encoded}


def without_nulls(value: Any) -> Any:
    """A copy without fields that are null: an API server does not keep them either."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value
