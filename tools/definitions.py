"""Writes bastion/standalone/definitions.json.gz: what Kubernetes' own OpenAPI says of the kinds that
`bastion standalone` serves.

    kubectl get --raw /openapi/v2 > openapi-v2.json && python tools/definitions.py openapi-v2.json
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from bastion.standalone.resources import AUTHENTICATION, AUTHORIZATION, RESOURCES

TARGET = Path(__file__).parent.parent / "bastion/standalone/definitions.json.gz"
OLD, NEW = "#/definitions/", "#/components/schemas/"
ALSO = {("autoscaling", "Scale"), ("", "Status"), ("", "DeleteOptions"), ("", "Event")}


def main(source: str) -> None:
    whole = json.loads(Path(source).read_text())["definitions"]
    served = {(one.group, one.kind) for one in RESOURCES if one.group not in (AUTHENTICATION, AUTHORIZATION)}
    found: dict[str, Any] = {}
    for name, definition in whole.items():
        kinds = definition.get("x-kubernetes-group-version-kind", ())
        if any(one["version"] == "v1" and (one["group"], one["kind"]) in served | ALSO for one in kinds):
            _add(name, whole, found)
    text = json.dumps(found, sort_keys=True, separators=(",", ":")).replace(OLD, NEW)
    TARGET.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _add(name: str, whole: dict[str, Any], found: dict[str, Any]) -> None:
    if name not in found:
        found[name] = whole[name]
        for other in _references(whole[name]):
            _add(other, whole, found)


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for inner in value for name in _references(inner)]
    if not isinstance(value, dict):
        return []
    own = [value["$ref"].removeprefix(OLD)] if isinstance(value.get("$ref"), str) else []
    return own + [name for inner in value.values() for name in _references(inner)]


if __name__ == "__main__":
    main(sys.argv[1])
