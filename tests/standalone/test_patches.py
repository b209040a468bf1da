"""What a patch makes of an object."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bastion.kube.status import StatusError
from bastion.standalone.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, patched, read_patch


def after(live: Any, patch: Any, kind: str, media_type: str = STRATEGIC_PATCH) -> Any:
    found = patched({"kind": kind, "spec": live}, read_patch(json.dumps(patch).encode(), media_type))
    return found.get("spec")


PORTS = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
C = {"port": 81, "name": "c"}
STRATEGIC: list[tuple[str, Any, Any, Any]] = [
    ("ConfigMap", {"a": 1, "b": 2}, {"b": None, "c": 3}, {"a": 1, "c": 3}),
    ("Service", {"ports": PORTS}, {"ports": [C]}, {"ports": [PORTS[0], C]}),
    ("Service", {"ports": PORTS}, {"ports": [{"port": 80, "$patch": "delete"}]}, {"ports": [PORTS[1]]}),
    ("Service", {"ports": PORTS}, {"ports": [{"$patch": "replace"}, {"port": 9}]}, {"ports": [{"port": 9}]}),
    ("Service", {"ports": PORTS}, {"$setElementOrder/ports": [C, PORTS[0]]}, {"ports": PORTS[::-1]}),
    ("EndpointSlice", {"ports": PORTS}, {"ports": [{"port": 1}]}, {"ports": [{"port": 1}]}),
    (
        "Deployment",
        {"containers": [{"name": "a", "image": "x", "env": [{"name": "E", "value": ""}]}]},
        {"containers": [{"name": "a", "env": [{"name": "F", "value": ""}]}, {"name": "b"}]},
        {
            "containers": [
                {"name": "a", "image": "x", "env": [{"name": "E", "value": ""}, {"name": "F", "value": ""}]},
                {"name": "b"},
            ]
        },
    ),
    ("Pod", {"finalizers": ["a", "b"]}, {"finalizers": ["c", "a"]}, {"finalizers": ["a", "b", "c"]}),
    ("Pod", {"finalizers": ["a", ""]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": [""]}),
    ("Pod", {"x": {"a": 1, "b": 2}}, {"x": {"$retainKeys": ["b"], "b": 3}}, {"x": {"b": 3}}),
    ("Pod", {"x": {"a": 1}}, {"x": {"$patch": "delete"}}, {}),
    ("Pod", {"x": {"a": 1}}, {"x": {"$patch": "replace", "b": 1}}, {"x": {"b": 1}}),
]


@pytest.mark.parametrize(("kind", "live", "patch", "result"), STRATEGIC)
def test_strategic_merge(kind: str, live: Any, patch: Any, result: Any) -> None:
    assert after(live, {"spec": patch}, kind) == result


def test_a_merge_patch_replaces_lists() -> None:
    assert after({"ports": PORTS, "a": 1}, {"spec": {"ports": [], "a": None}}, "Service", MERGE_PATCH) == {
        "ports": []
    }


OPERATIONS: list[tuple[list[dict[str, Any]], Any]] = [
    ([{"op": "add", "path": "/spec/a~1b", "value": 1}], {"l": [1, 2], "a/b": 1}),
    ([{"op": "add", "path": "/spec/l/-", "value": 3}], {"l": [1, 2, 3]}),
    ([{"op": "add", "path": "/spec/l/0", "value": 0}], {"l": [0, 1, 2]}),
    ([{"op": "remove", "path": "/spec/l/1"}], {"l": [1]}),
    ([{"op": "replace", "path": "/spec/l", "value": {}}], {"l": {}}),
    ([{"op": "move", "from": "/spec/l", "path": "/spec/m"}], {"m": [1, 2]}),
    ([{"op": "copy", "from": "/spec/l/0", "path": "/spec/m"}], {"l": [1, 2], "m": 1}),
    ([{"op": "test", "path": "/spec/l/0", "value": 1}, {"op": "remove", "path": "/spec"}], None),
]


@pytest.mark.parametrize(("operations", "result"), OPERATIONS)
def test_json_patch(operations: Any, result: Any) -> None:
    assert after({"l": [1, 2]}, operations, "Pod", JSON_PATCH) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/spec/l/0", "value": 2},
        {"op": "remove", "path": "/spec/gone"},
        {"op": "replace", "path": "/spec/l/2", "value": 1},
        {"op": "add", "path": "/spec/l/4", "value": 1},
        {"op": "add", "path": "/spec/l/-1", "value": 1},
        {"op": "add", "path": "spec", "value": 1},
        {"op": "jump", "path": "/spec"},
        {"path": "/spec"},
    ],
)
def test_an_operation_that_cannot_be_done(operation: Any) -> None:
    with pytest.raises(StatusError) as refused:
        after({"l": [1, 2]}, [operation], "Pod", JSON_PATCH)
    assert refused.value.code == 422


@pytest.mark.parametrize(
    ("patch", "media_type", "code"),
    [
        ({}, "application/yaml", 415),
        ([], MERGE_PATCH, 400),
        ({}, JSON_PATCH, 400),
        ({"spec": {"ports": [{"name": "x"}]}}, STRATEGIC_PATCH, 400),
        ([{"op": "replace", "path": "", "value": 1}], JSON_PATCH, 400),
    ],
)
def test_what_is_no_patch(patch: Any, media_type: str, code: int) -> None:
    with pytest.raises(StatusError) as refused:
        after({"ports": PORTS}, patch, "Service", media_type)
    assert refused.value.code == code
