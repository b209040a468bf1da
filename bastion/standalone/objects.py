"""· Objects that clients send: read as JSON, merged into what there is."""

from __future__ import annotations

from typing import Any

import orjson

from bastion.kube.status import StatusError, bad_request
from bastion.standalone.resources import Object

SENT_AS = ("application/json", "application/merge-patch+json", "application/strategic-merge-patch+json")


def read_object(body: bytes, content_type: str) -> Object:
    """Raises StatusError 400, 415."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in SENT_AS:
        raise StatusError(415, "UnsupportedMediaType", f"{kind} is not taken here: {', '.join(SENT_AS)}")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body is not JSON: {error}") from error
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
