"""Server-side apply: whose a field is, what a conflict is, and what goes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from bastion.kube.status import StatusError
from bastion.standalone.applying import applied, wanted_of
from bastion.standalone.definitions import typed
from bastion.standalone.fieldsets import Difference, fields_of, read_fields, shown, written_fields
from bastion.standalone.managers import APPLY, Manager, managers_of, tracked
from bastion.standalone.resources import BY_KIND, Object, Resource
from tests.standalone.api import client, serving

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
MAP, DEPLOYMENT = BY_KIND["", "ConfigMap"], BY_KIND["apps", "Deployment"]
SERVICE, SECRET = BY_KIND["", "Service"], BY_KIND["", "Secret"]
PEER = {"name": "a"}

BAD_STEPS = [
    [{"operation": "Apply", "fieldsV1": {"f:data": {step: {}}}}]
    for step in ("k:", "k:1", "v:", "data", "i:0")
]
MAPS = "/api/v1/namespaces/shop/configmaps"
YAML = {"Content-Type": "application/apply-patch+yaml"}


def deployment(*containers: Object, **spec: Any) -> Object:
    return {"metadata": PEER, "spec": {**spec, "template": {"spec": {"containers": list(containers)}}}}


def data(**values: str) -> Object:
    return {"metadata": PEER, "data": values}


def apply(live: Object, wanted: Object, manager: str, kind: Resource = MAP, *, force: bool = False) -> Object:
    wanted = wanted_of(kind, "n", "a", wanted)
    return applied(live, wanted, typed(kind), (kind, Manager(manager, APPLY)), NOW, force=force)


def change(old: Object | None, new: Object, manager: str, kind: Resource = MAP) -> Object:
    """A write that is no apply."""
    return tracked(old, new, None, typed(kind), (kind, Manager(manager)), LATER)


def owners(object: Object) -> dict[str, list[str]]:
    return {one.name: sorted(map(shown, entry.fields)) for one, entry in managers_of(object).items()}


# --- sets of fields


OWNED = [
    pytest.param(MAP, data(k="v"), [".data.k"], id="keys of a map"),
    pytest.param(
        DEPLOYMENT,
        deployment({"name": "a", "image": "x", "args": ["1"]}, replicas=1),
        [
            ".spec.replicas",
            '.spec.template.spec.containers[name="a"]',
            '.spec.template.spec.containers[name="a"].args',
            '.spec.template.spec.containers[name="a"].image',
            '.spec.template.spec.containers[name="a"].name',
        ],
        id="items of a list by their key, others whole",
    ),
    pytest.param(
        DEPLOYMENT, {"spec": {"selector": {"matchLabels": {"a": "b"}}}}, [".spec.selector"], id="atomic"
    ),
    pytest.param(
        SERVICE,
        {"spec": {"ports": [{"port": 80}]}},
        ['.spec.ports[port=80,protocol="TCP"]', '.spec.ports[port=80,protocol="TCP"].port'],
        id="a key that the server fills in",
    ),
    pytest.param(
        MAP, {"metadata": {"finalizers": ["x/y"]}}, ['.metadata.finalizers[="x/y"]'], id="a set of words"
    ),
    pytest.param(MAP, {"data": {}}, [".data"], id="an empty map"),
    pytest.param(
        SERVICE, {"spec": {"ports": [{"port": 80}, {"port": 80}]}}, [".spec.ports"], id="a key twice"
    ),
]


@pytest.mark.parametrize(("kind", "value", "fields"), OWNED)
def test_what_is_owned(kind: Resource, value: Object, fields: list[str]) -> None:
    found = {path for path in fields_of(value, typed(kind)) if path[-1] != "f:name" or len(path) > 2}
    assert sorted(map(shown, found)) == fields
    assert read_fields(written_fields(frozenset(found))) == found


def test_a_kind_without_a_schema_is_merged_by_its_shape() -> None:
    gateway = BY_KIND["gateway.networking.k8s.io", "BackendTLSPolicy"]
    fields = fields_of({"spec": {"a": {"b": 1}, "c": [{"name": "d"}]}}, typed(gateway))
    assert {".spec.a.b", ".spec.c"} <= set(map(shown, fields))


def test_the_order_of_items_is_no_difference() -> None:
    one, two = {"name": "a", "image": "x"}, {"name": "b", "image": "y"}
    both = Difference(deployment(one, two), deployment(two, one), typed(DEPLOYMENT))
    assert (both.changed, both.removed) == (set(), set())


# --- applying


def test_what_another_has_set_is_a_conflict_that_can_be_forced() -> None:
    first = apply({"metadata": PEER}, data(k="1", l="1"), "one")
    with pytest.raises(StatusError) as caught:
        apply(first, data(k="2"), "two")
    assert caught.value.code == 409
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.k'
    forced = apply(first, data(k="2"), "two", force=True)
    assert forced["data"] == {"k": "2", "l": "1"}
    assert owners(forced) == {"one": [".data.l"], "two": [".data.k"]}


def test_the_same_value_is_shared_and_stays_until_nobody_wants_it() -> None:
    first = apply({"metadata": PEER}, data(k="1"), "one")
    both = apply(first, data(k="1"), "two")
    assert owners(both) == {"one": [".data.k"], "two": [".data.k"]}
    left = apply(both, data(l="1"), "one")
    assert left["data"] == {"k": "1", "l": "1"}
    assert apply(left, {"metadata": PEER}, "two")["data"] == {"l": "1"}


def test_what_is_no_longer_wanted_goes_with_what_held_it() -> None:
    both = deployment({"name": "a", "image": "x"}, {"name": "b"})
    first = apply({"metadata": PEER}, both, "one", DEPLOYMENT)
    less = apply(first, deployment({"name": "a"}), "one", DEPLOYMENT)
    assert less["spec"] == {"template": {"spec": {"containers": [{"name": "a"}]}}}
    assert "spec" not in apply(less, {"metadata": PEER}, "one", DEPLOYMENT)


def test_an_item_to_which_another_added_stays() -> None:
    first = apply({"metadata": PEER}, deployment({"name": "a", "image": "x"}), "one", DEPLOYMENT)
    more = change(first, deployment({"name": "a", "image": "x", "tty": True}), "two", DEPLOYMENT)
    more["metadata"] = {**PEER, **more["metadata"]}
    left = apply(more, {"metadata": PEER}, "one", DEPLOYMENT)
    assert left["spec"]["template"]["spec"]["containers"] == [{"name": "a", "tty": True}]


def test_a_write_takes_what_it_changes_and_says_when() -> None:
    first = apply({"metadata": PEER}, data(k="1", l="1"), "one")
    second = change(first, {"metadata": PEER, "data": {"k": "2", "m": "1"}}, "kubectl-edit")
    assert owners(second) == {"kubectl-edit": [".data.k", ".data.m"]}
    with pytest.raises(StatusError) as caught:
        apply(second, data(k="1", m="2"), "one")
    assert caught.value.message == (
        f'Apply failed with 2 conflicts: conflicts with "kubectl-edit" using v1 at {LATER}:'
        "\n- .data.k\n- .data.m"
    )


def test_kubectl_goes_on_with_what_it_applied_from_the_client_before() -> None:
    """`kubectl apply`, then `kubectl apply --server-side` of another value: no conflict with oneself."""
    last = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(data(k="1"))}
    live = {"metadata": {**PEER, "annotations": last}, "data": {"k": "1"}}
    live = change(None, live, "kubectl-client-side-apply")
    assert apply(live, data(k="2"), "kubectl")["data"] == {"k": "2"}
    with pytest.raises(StatusError):
        apply(live, data(k="2"), "other")


def test_strings_of_a_secret_are_its_data() -> None:
    live = apply({"metadata": PEER}, {"metadata": PEER, "stringData": {"k": "v"}}, "one", SECRET)
    assert (live["data"], owners(live)) == ({"k": "dg=="}, {"one": [".data.k"]})


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"metadata": {"name": "b"}},
        {"metadata": {"managedFields": [{}]}},
        {"metadata": {}, "stringData": {"a": 1}},
    ],
)
def test_what_cannot_be_applied(wanted: Object) -> None:
    with pytest.raises(StatusError) as caught:
        wanted_of(SECRET, "n", "a", wanted)
    assert caught.value.code == 400


def test_what_is_wanted_empty_stays_empty() -> None:
    first = apply({"metadata": PEER}, {"metadata": PEER, "data": {"k": "v"}}, "one")
    assert apply(first, {"metadata": PEER, "data": {}}, "one")["data"] == {}


@pytest.mark.parametrize("entries", [["x"], [{"operation": "Apply", "fieldsV1": []}], *BAD_STEPS, "x"])
def test_managed_fields_that_cannot_be_read_are_a_mistake_of_their_writer(entries: Any) -> None:
    with pytest.raises(StatusError) as caught:
        managers_of({"metadata": {"managedFields": entries}})
    assert caught.value.code == 400


# --- over HTTPS


async def put(http: httpx.AsyncClient, query: str, text: str) -> httpx.Response:
    return await http.patch(f"{MAPS}/a?{query}", content=text, headers=YAML)


def test_an_object_is_applied_created_and_changed(tmp_path: Path) -> None:
    wanted = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: %s}\n"

    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http:
            nobody = await put(http, "", wanted % "v")
            assert (nobody.status_code, "fieldManager: Required" in nobody.text) == (422, True)
            assert (await put(http, "fieldManager=m&dryRun=All", wanted % "v")).status_code == 201
            assert (await http.get(f"{MAPS}/a")).status_code == 404
            made = await put(http, "fieldManager=m", wanted % "v")
            assert (made.status_code, made.json()["data"]) == (201, {"k": "v"})
            again = await put(http, "fieldManager=m", wanted % "v")
            assert (again.status_code, again.json()) == (200, made.json())
            conflict = await put(http, "fieldManager=n", wanted % "w")
            assert conflict.status_code == 409
            causes = conflict.json()["details"]["causes"]
            assert [(one["reason"], one["field"]) for one in causes] == [("FieldManagerConflict", ".data.k")]
            assert (await put(http, "fieldManager=n&force=true", wanted % "w")).json()["data"] == {"k": "w"}
            assert (await put(http, "fieldManager=n", "a: [")).status_code == 400
            assert (await put(http, "fieldManager=n", "a: 1\n---\nb: 2")).status_code == 400

    asyncio.run(main())


def test_whoever_may_only_patch_creates_nothing(tmp_path: Path) -> None:
    role = {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]}
    who = {"subjects": [{"kind": "User", "name": "bob"}], "roleRef": {"kind": "Role", "name": "patch"}}
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop"

    async def main() -> None:
        async with serving(tmp_path) as server, client(server) as http, client(server, "bob-token") as bob:
            for kind, more in (("roles", role), ("rolebindings", who)):
                made = await http.post(f"{rbac}/{kind}", json={"metadata": {"name": "patch"}, **more})
                assert made.status_code == 201, made.text
            text = "metadata: {name: a}\ndata: {k: v}"
            assert (await put(bob, "fieldManager=m", text)).status_code == 403
            assert (await put(http, "fieldManager=m", text)).status_code == 201
            assert (await put(bob, "fieldManager=m", text)).status_code == 200

    asyncio.run(main())
