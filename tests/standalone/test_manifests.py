"""Manifests: what is read, what is refused and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bastion.standalone.manifests import ManifestError, load
from bastion.standalone.resources import BY_KIND
from tests.standalone.objects import RBAC_API, by_key, pod, service, write

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"
SLICE = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\n"
RBAC = "apiVersion: rbac.authorization.k8s.io/v1\nmetadata: {name: a}\n"

MISTAKES = [
    ("just: [unclosed", "document 1: line 2: did not find expected ',' or ']'"),
    ("a: b: c", "document 1: line 1: mapping values are not allowed in this context"),
    ("just a text", "document 1: must be an object with apiVersion, kind and metadata"),
    ("- 1\n", "document 1: must be an object with apiVersion, kind and metadata"),
    ("kind: Pod\nmetadata: {name: a}", "document 1: apiVersion: must be set"),
    ("apiVersion: v1\nmetadata: {name: a}", "document 1: kind: must be set"),
    ("apiVersion: 1\nkind: Pod", "document 1: apiVersion: must be a string"),
    ("apiVersion: v1\nkind: Pod", "document 1: metadata: must be set"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {}", "document 1: metadata.name: must be set"),
    ("apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: b}}", "document 1: metadata.name: must be set"),
    ("apiVersion: v2\nkind: Pod\nmetadata: {name: a}", "document 1: apiVersion: must be v1 for a Pod"),
    (
        "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: a}",
        "document 1: apiVersion: must be discovery.k8s.io/v1 for a EndpointSlice",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: 5}",
        "document 1: metadata.name: must be a string: put it in quotes",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: A_b}",
        (
            "document 1: metadata.name: must be lower-case letters, digits, '-' and '.' of at most 253"
            " characters"
        ),
    ),
    (
        "apiVersion: v1\nkind: Service\nmetadata: {name: a.b}",
        "document 1: metadata.name: must be lower-case letters, digits and '-' of at most 63 characters",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: a/b}",
        "document 1: metadata.namespace: must be lower-case letters, digits and '-' of at most 63 characters",
    ),
    (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a/b}",
        "document 1: metadata.name: must not be empty, '.' or '..', or contain '/' or '%'",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {on: yes}}",
        "document 1: metadata.labels[true]: must be a string: put it in quotes",
    ),
    (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {a: true}}",
        "document 1: metadata.labels[a]: must be a string: put it in quotes",
    ),
    ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, name: b}", "document 1: metadata.name: is there twice"),
    (
        POD + "spec:\n  containers:\n  - name: c\n    ports: [{containerPort: 0}]",
        "document 1: spec.containers[0].ports[0].containerPort: must be an integer between 1 and 65535",
    ),
    (
        POD + "spec:\n  containers:\n  - name: c\n    ports: [{containerPort: true}]",
        "document 1: spec.containers[0].ports[0].containerPort: must be an integer between 1 and 65535",
    ),
    (
        POD + "spec:\n  containers:\n  - ports: [{name: x}]",
        "document 1: spec.containers[0].ports[0].containerPort: must be set",
    ),
    (
        POD + "spec: {containers: [{name: c, ports: [{name: x, containerPort: 1}, {name: x, containerPort:"
        " 2}]}]}",
        "document 1: spec.containers[0].ports[1].name: 'x' is there twice",
    ),
    (
        POD + "spec: {containers: [{name: c}, {name: c}]}",
        "document 1: spec.containers[1].name: 'c' is there twice",
    ),
    (POD + "spec: {containers: {name: c}}", "document 1: spec.containers: must be a list"),
    (POD + "spec: {containers: [null]}", "document 1: spec.containers[0]: must be an object"),
    (POD + "spec: []", "document 1: spec: must be an object"),
    (POD + "spec: {hostNetwork: 'true'}", "document 1: spec.hostNetwork: must be true or false"),
    (POD + "status: {podIP: 10.0.0.300}", "document 1: status.podIP: must be an IP address"),
    (POD + "status: {podIP: 'fe80::1%eth0'}", "document 1: status.podIP: must be an IP address"),
    (
        POD + "status: {podIPs: [{ip: 10.0.0.1}, {ip: 10.0.0.1}]}",
        "document 1: status.podIPs[1].ip: '10.0.0.1' is there twice",
    ),
    (
        POD + "status: {phase: Sleeping}",
        "document 1: status.phase: must be one of Pending, Running, Succeeded, Failed, Unknown",
    ),
    (
        POD + "status: {conditions: [{type: Ready, status: True}]}",
        "document 1: status.conditions[0].status: must be one of True, False, Unknown",
    ),
    (POD + "metadata: {name: b}", "document 1: metadata: is there twice"),
    (POD + "spec: &again {again: [*again]}", "document 1: is nested too deeply"),
    (SERVICE + "spec: {ports: [{name: x}]}", "document 1: spec.ports[0].port: must be set"),
    (
        SERVICE + "spec: {ports: [{port: 99999}]}",
        "document 1: spec.ports[0].port: must be an integer between 1 and 65535",
    ),
    (
        SERVICE + "spec: {ports: [{port: 80, targetPort: '80'}]}",
        "document 1: spec.ports[0].targetPort: must be the name of a port or an integer between 1 and 65535",
    ),
    (
        SERVICE + "spec: {ports: [{port: 80}, {port: 81}]}",
        "document 1: spec.ports[0].name: must be set where a service has several ports",
    ),
    (
        SERVICE + "spec: {ports: [{name: a, port: 80}, {name: b, port: 80}]}",
        "document 1: spec.ports[1].port: 80/TCP is there twice",
    ),
    (
        SERVICE + "spec: {ports: [{port: 80, protocol: http}]}",
        "document 1: spec.ports[0].protocol: must be one of TCP, UDP, SCTP",
    ),
    (
        SERVICE + "spec: {selector: {a: 1}}",
        "document 1: spec.selector[a]: must be a string: put it in quotes",
    ),
    (SERVICE + "spec: {clusterIP: here}", "document 1: spec.clusterIP: must be an IP address"),
    (
        "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: [{addresses: [{}]}]",
        "document 1: subsets[0].addresses[0].ip: must be set",
    ),
    (
        "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: [{ports: [{name: x}]}]",
        "document 1: subsets[0].ports[0].port: must be set",
    ),
    (SLICE + "endpoints: []", "document 1: addressType: must be set"),
    (SLICE + "addressType: IPv4\nendpoints: [{}]", "document 1: endpoints[0].addresses: must be set"),
    (
        SLICE + "addressType: IPv4\nendpoints: [{addresses: []}]",
        "document 1: endpoints[0].addresses: must have at least one entry",
    ),
    (
        SLICE + "addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]",
        "document 1: endpoints[0].addresses[0]: must be an IPv6 address",
    ),
    (
        SLICE + "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1], conditions: {ready: 'yes'}}]",
        "document 1: endpoints[0].conditions.ready: must be true or false",
    ),
    (
        (
            "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {daemonEndpoints: {kubeletEndpoint:"
            " {Port: '1'}}}"
        ),
        "document 1: status.daemonEndpoints.kubeletEndpoint.Port: must be an integer between 0 and 65535",
    ),
    (
        "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {addresses: [{type: InternalIP}]}",
        "document 1: status.addresses[0].address: must be set",
    ),
    (
        RBAC + "kind: Role\nrules: [{apiGroups: [''], resources: [pods]}]",
        "document 1: rules[0].verbs: must be set",
    ),
    (
        RBAC + "kind: Role\nrules: [{verbs: [get]}]",
        "document 1: rules[0].apiGroups: must have at least one entry",
    ),
    (
        RBAC + "kind: Role\nrules: [{verbs: [get], nonResourceURLs: [/x]}]",
        "document 1: rules[0].nonResourceURLs: must not be set: a Role has no say over paths",
    ),
    (RBAC + "kind: ClusterRole\nrules: [{verbs: get}]", "document 1: rules[0].verbs: must be a list"),
    (RBAC + "kind: RoleBinding", "document 1: roleRef: must be set"),
    (
        RBAC + "kind: ClusterRoleBinding\nroleRef: {kind: Role, name: x}",
        "document 1: roleRef.kind: must be one of ClusterRole",
    ),
    (
        RBAC + "kind: RoleBinding\nroleRef: {kind: Role, name: x}\nsubjects: [{kind: Robot, name: x}]",
        "document 1: subjects[0].kind: must be one of User, Group, ServiceAccount",
    ),
    (
        RBAC + "kind: RoleBinding\nroleRef: {kind: Role, name: x}\nsubjects: [{kind: ServiceAccount, name: x,"
        " apiGroup: apps}]",
        'document 1: subjects[0].apiGroup: must be "" for a ServiceAccount',
    ),
    ("kind: List\napiVersion: v1\nitems: {}", None),
    ("kind: List\napiVersion: v1\nitems: [{}, 5]", "document 1: items[0].apiVersion: must be set"),
    (
        "kind: List\napiVersion: v1\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: 5}]",
        "document 1: items[0].spec: must be an object",
    ),
    ("kind: List\nitems: 5", "document 1: items: must be a list"),
    (
        POD + "---\n# nothing\n---\n" + POD,
        "document 3: metadata.name: pods default/a is already in {file}: document 1",
    ),
    (POD + "---\n" + POD.replace("name: a", "name: b") + "spec: 5", "document 2: spec: must be an object"),
    (POD + "---\n{", "document 2: line "),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistake_is_named_in_one_line_by_file_document_and_field(
    tmp_path: Path, text: str, message: str | None
) -> None:
    file = write(tmp_path / "pods.yaml", text)
    if message is None:
        assert load([file]).objects == {}
        return
    with pytest.raises(ManifestError) as caught:
        load([file])
    said = str(caught.value)
    assert said.startswith(f"{file}: {message.format(file=file)}"), said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b", "a": "c"}}}',
            "document 1: metadata.labels.a: is there twice",
        ),
        ('{"apiVersion": "v1", "kind": "Binding"} {"apiVersion": ', "document 2: line 1: Expecting value"),
        ('{"apiVersion": ', "document 1: line 1: Expecting value"),
        (
            '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": "\\ud800"}}',
            "document 1: cannot be written as JSON",
        ),
        ("[" * 100_000, "document 1: is nested too deeply"),
    ],
)
def test_mistake_in_json(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path / "pods.json", text)
    with pytest.raises(ManifestError) as caught:
        load([file])
    assert str(caught.value).startswith(f"{file}: {message}")


def test_same_object_in_two_files_names_both(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", POD)
    write(tmp_path / "b.yaml", POD)
    with pytest.raises(
        ManifestError,
        match=r"b\.yaml: document 1: metadata\.name: pods default/a is already in .*a\.yaml: document 1",
    ):
        load([tmp_path])


def test_missing_path_and_binary_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere: no such file or folder"):
        load([tmp_path / "nowhere"])
    (tmp_path / "image.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match=r"image\.yaml: is not UTF-8"):
        load([tmp_path])


def test_folders_are_read_to_the_bottom_without_what_is_hidden_or_something_else(tmp_path: Path) -> None:
    write(tmp_path / "one.yaml", POD)
    write(tmp_path / "deep" / "er" / "two.yml", POD.replace("name: a", "name: b"))
    write(tmp_path / "deep" / "three.json", json.dumps(pod("c")))
    write(tmp_path / ".hidden.yaml", "garbage: [")
    write(tmp_path / "..data" / "one.yaml", "garbage: [")
    write(tmp_path / "notes.txt", "garbage: [")
    names = [key[2] for key in load([tmp_path, tmp_path / "one.yaml"]).objects]
    assert sorted(names) == ["a", "b", "c"]


def test_mounted_configmap_is_read_through_its_links(tmp_path: Path) -> None:
    write(tmp_path / "..2026" / "pods.yaml", POD)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "pods.yaml").symlink_to("..data/pods.yaml")
    assert list(load([tmp_path]).objects) == [("pods", "default", "a")]


def test_lists_are_taken_apart(tmp_path: Path) -> None:
    inner = {"apiVersion": "v1", "kind": "List", "items": [service("s")]}
    file = write(
        tmp_path / "all.json",
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod("a"), inner, pod("b")]}),
    )
    assert load([file]).objects == by_key(pod("a"), service("s"), pod("b"))


TYPED_LISTS = [  # (the list, names of what it holds, kinds kept out)
    (
        {
            "apiVersion": "v1",
            "kind": "PodList",
            "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}],
        },
        ["a", "b"],
        set(),
    ),
    (
        {
            "apiVersion": "v1",
            "kind": "ServiceList",
            "items": [{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "a"}}],
        },
        ["a"],
        set(),
    ),
    (
        {
            "apiVersion": RBAC_API,
            "kind": "ClusterRoleList",
            "items": [{"metadata": {"name": "a"}, "rules": None}],
        },
        ["a"],
        set(),
    ),
    ({"apiVersion": "v1", "kind": "PodList", "items": None}, [], set()),
    ({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}}, [], set()),
    (
        {"apiVersion": "apps/v1", "kind": "StatefulSetList", "items": [{"metadata": {"name": "a"}}]},
        [],
        {"StatefulSetList"},
    ),
    (
        {"apiVersion": "example.test/v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]},
        [],
        {"PodList"},
    ),
    ({"apiVersion": "example.test/v1", "kind": "AllowList", "items": "anything"}, [], {"AllowList"}),
    (
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]}],
        },
        ["a"],
        set(),
    ),
]


@pytest.mark.parametrize(("value", "names", "kept_out"), TYPED_LISTS)
def test_items_of_a_typed_list_are_of_its_kind(
    tmp_path: Path, value: Any, names: list[str], kept_out: set[str]
) -> None:
    file = write(tmp_path / "list.json", json.dumps(value))
    found = load([file])
    assert [key[2] for key in found.objects] == names
    assert {kind for _, kind in found.skipped} == kept_out
    for (resource, _, _), object in found.objects.items():
        assert BY_KIND[object["apiVersion"].rpartition("/")[0], object["kind"]].name == resource


def test_a_mistake_in_a_typed_list_names_the_item(tmp_path: Path) -> None:
    file = write(
        tmp_path / "list.yaml",
        "apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}, {metadata: {}}]",
    )
    with pytest.raises(ManifestError, match=r"document 1: items\[1\]\.metadata\.name: must be set"):
        load([file])


NOT_JUDGED = [
    "apiVersion: example.test/v1\nkind: Filter\nspec: {=: 1, 200: ok, on: off, 1.5: x, a: 1, a: 2}\n",
    (
        "apiVersion: v1\nkind: Binding\nmetadata: {name: 5}\ndata: [=, !vault x,"
        " 123456789012345678901234567890, 2026-01-02]\n"
    ),
    '{"apiVersion": "v1", "kind": "Binding", "a": 1, "a": 2}\n',
    "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Binding, a: {b: 1, b: 2}}]\n",
]


@pytest.mark.parametrize("other", NOT_JUDGED)
def test_what_is_not_served_is_not_judged(tmp_path: Path, other: str) -> None:
    assert list(load([write(tmp_path / "all.yaml", f"{other}---\n{POD}")]).objects) == [
        ("pods", "default", "a")
    ]


def test_a_name_that_is_there_twice_is_judged_by_the_object_it_is_in(tmp_path: Path) -> None:
    items = (
        "[{apiVersion: v1, kind: Binding, a: 1, a: 2}, {apiVersion: v1, kind: Pod,"
        " metadata: {name: x, labels: {a: b, a: c}}}]"
    )
    with pytest.raises(ManifestError, match=r"document 1: items\[1\]\.metadata\.labels\.a: is there twice"):
        load([write(tmp_path / "all.yaml", f"apiVersion: v1\nkind: List\nitems: {items}")])


def test_objects_behind_one_another_are_documents_in_a_file_of_any_name(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(pod(name, labels={"smile": "\N{GRINNING FACE}"}), indent=2) for name in "abc")
    assert "\\ud83d" in text
    for name in ("pods.yaml", "pods.json"):
        found = load([write(tmp_path / name, text)])
        assert [key[2] for key in found.objects] == ["a", "b", "c"]
        assert found.objects["pods", "default", "b"]["metadata"]["labels"] == {"smile": "\N{GRINNING FACE}"}


def test_kinds_not_served_are_kept_out_and_named(tmp_path: Path) -> None:
    file = write(
        tmp_path / "all.yaml",
        POD
        + "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: a}\n"
        + "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: b}\n"
        + "---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n",
    )
    found = load([file])
    assert list(found.objects) == [("pods", "default", "a")]
    assert found.skipped == {(str(file), "StatefulSet"), (str(file), "Service")}


def test_what_the_server_sets_or_a_client_left_empty_is_not_kept(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.yaml",
        """
        apiVersion: v1
        kind: Node
        metadata:
          {name: node, namespace: odd, resourceVersion: "7", managedFields: [], uid: kept, labels: null}
        status: {addresses: null, phase: ""}
        """,
    )
    node = load([file]).objects["nodes", "", "node"]
    assert node["metadata"] == {"name": "node", "uid": "kept"}
    assert node["status"] == {"phase": ""}


def test_yaml_is_read_as_kubernetes_reads_it(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.yaml",
        """
        x: &labels {app: web}
        apiVersion: v1
        kind: Pod
        metadata:
          name: a
          creationTimestamp: 2026-01-02T03:04:05Z
          labels: {<<: *labels, time: 12:30, app: other}
        status:
          podIP: ::1
        """,
    )
    metadata = load([file]).objects["pods", "default", "a"]["metadata"]
    assert metadata["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert metadata["labels"] == {"app": "other", "time": "12:30"}
