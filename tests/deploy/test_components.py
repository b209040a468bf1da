"""Does what may be added to the manifests fit them, and grant no more than its purpose needs?"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from bastion.observe.audit.reading import read_policy
from bastion.settings.load import load
from bastion.settings.options import Options
from tests.deploy.kustomized import kustomization
from tests.deploy.test_manifests import CONTAINER, DEPLOY, LABELS, one

COMPONENTS = sorted(path.parent for path in DEPLOY.glob("components/*/kustomization.yaml"))
CLUSTER_WIDE = {"FlowSchema", "PriorityLevelConfiguration"}
BASTION = {"name": "bastion", "namespace": "bastion"}


def documents(component: Any) -> Any:
    names = kustomization(component).get("resources", ())
    return [document for name in names for document in yaml.safe_load_all((component / name).read_text())]


def named(name: Any) -> Any:
    return {document["kind"]: document for document in documents(DEPLOY / "components" / name)}


def test_the_certificate_has_all_names_that_the_flags_need() -> None:
    """One of the wildcard's depth: `*` stands for one label."""
    flags = dict(
        step["value"].removeprefix("--").split("=", 1)
        for patch in kustomization(DEPLOY / "components" / "host-names")["patches"]
        for step in yaml.safe_load(patch["patch"])
    )
    spec = named("host-names")["Certificate"]["spec"]
    suffix = flags["proxy-host-suffix"]
    main = flags["public-url"].removeprefix("https://")
    assert set(spec["dnsNames"]) == {main, f"*.svc.{suffix}", f"*.pod.{suffix}"}
    volumes = one("Deployment", "bastion")["spec"]["template"]["spec"]["volumes"]
    assert spec["secretName"] in {volume.get("secret", {}).get("secretName") for volume in volumes}


VOLUMES = ("/spec/template/spec/volumes/-", "/spec/template/spec/containers/0/volumeMounts/-")

STEPS = {
    *(("add", path) for path in (*VOLUMES, "/spec/type", "/spec/externalTrafficPolicy")),
    ("remove", "/spec/replicas"),
}

components = pytest.mark.parametrize("component", COMPONENTS, ids=lambda path: path.name)


@components
def test_a_component_is_whole_and_says_what_it_is_for(component: Any) -> None:
    said = kustomization(component)
    assert (said["apiVersion"], said["kind"]) == ("kustomize.config.k8s.io/v1alpha1", "Component")
    assert {path.name for path in component.iterdir()} == {"kustomization.yaml", *said.get("resources", ())}
    assert all(re.match(r"# .*\?", path.read_text()) for path in component.iterdir())
    assert f"`components/{component.name}`" in (DEPLOY / "README.md").read_text()


@components
def test_its_objects_are_labelled_and_in_their_place(component: Any) -> None:
    """An overlay's namespace is not for what a component brings along."""
    for document in documents(component):
        assert document["metadata"]["labels"].items() >= LABELS.items()
        placed = (
            None if document["kind"].startswith("Cluster") or document["kind"] in CLUSTER_WIDE else "bastion"
        )
        assert document["metadata"].get("namespace") == placed


@components
def test_its_patches_fit(component: Any) -> None:
    """All flags of a component together: some need others."""
    added = []
    for patch in kustomization(component).get("patches", ()):
        assert one(patch["target"]["kind"], patch["target"]["name"])
        for step in yaml.safe_load(patch["patch"]):
            if step["path"] == "/spec/template/spec/containers/0/args/-":
                assert step["op"] == "add" and step["value"] not in CONTAINER["args"]
                added.append(step["value"])
            else:
                assert (step["op"], step["path"]) in STEPS
    assert load(Options, [*CONTAINER["args"][1:], *added], {}).mistakes == ()


def test_who_serves_nodes_may_see_them_and_nothing_else() -> None:
    objects = named("nodes")
    assert objects["ClusterRole"]["rules"] == [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}
    ]
    assert objects["ClusterRoleBinding"]["roleRef"]["name"] == objects["ClusterRole"]["metadata"]["name"]
    assert objects["ClusterRoleBinding"]["subjects"] == [{"kind": "ServiceAccount", **BASTION}]
    assert "--enable-node-proxy" in (DEPLOY / "components/nodes/kustomization.yaml").read_text()


def test_who_verifies_backends_may_read_authorities_by_name_and_policies() -> None:
    objects = named("backend-tls")
    assert objects["ClusterRole"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["backendtlspolicies"], "verbs": ["list"]},
    ]
    assert objects["ClusterRoleBinding"]["subjects"] == [{"kind": "ServiceAccount", **BASTION}]


def test_the_reviews_of_the_bastion_alone_have_seats_of_their_own() -> None:
    objects = named("flowcontrol")
    schema, level = objects["FlowSchema"], objects["PriorityLevelConfiguration"]
    assert {document["apiVersion"] for document in (schema, level)} == {"flowcontrol.apiserver.k8s.io/v1"}
    assert schema["spec"]["priorityLevelConfiguration"]["name"] == level["metadata"]["name"]
    assert 900 < schema["spec"]["matchingPrecedence"] < 9000  # kube-system's service accounts, and all others
    (rule,) = schema["spec"]["rules"]
    assert rule["subjects"] == [{"kind": "ServiceAccount", "serviceAccount": BASTION}]
    asked = {
        (group, resource)
        for each in rule["resourceRules"]
        for group in each["apiGroups"]
        for resource in each["resources"]
    }
    access = {("authorization.k8s.io", name) for name in ("subjectaccessreviews", "selfsubjectaccessreviews")}
    assert asked == {("authentication.k8s.io", "tokenreviews"), *access}
    assert all(each["verbs"] == ["create"] and each["clusterScope"] is True for each in rule["resourceRules"])


def test_reviews_are_queued_before_they_are_refused() -> None:
    limited = named("flowcontrol")["PriorityLevelConfiguration"]["spec"]["limited"]
    queuing = limited["limitResponse"]["queuing"]
    assert limited["limitResponse"]["type"] == "Queue"
    # What the API server's own validation asks for.
    assert 1 <= queuing["handSize"] <= queuing["queues"] and queuing["queueLengthLimit"] > 0
    assert limited["nominalConcurrencyShares"] > 0 and 0 <= limited["lendablePercent"] <= 100


def test_the_audit_policy_is_one_and_its_volumes_belong_together() -> None:
    policy, warnings = read_policy(named("audit")["ConfigMap"]["data"]["policy.yaml"])
    assert warnings == []
    assert [rule.level for rule in policy.rules] == ["None", "RequestResponse", "RequestResponse", "Metadata"]
    steps = yaml.safe_load(kustomization(DEPLOY / "components/audit")["patches"][0]["patch"])
    volumes = [step["value"] for step in steps if step["path"] == VOLUMES[0]]
    mounts = {
        step["value"]["name"]: step["value"]["mountPath"] for step in steps if step["path"] == VOLUMES[1]
    }
    assert {volume["name"] for volume in volumes} == set(mounts)
    paths = [step["value"].partition("=")[2] for step in steps if str(step["value"]).startswith("--audit-")]
    assert paths[0].startswith(mounts["audit-policy"])
    assert paths[1].startswith(mounts["audit-log"])
    assert volumes[0]["configMap"]["name"] == named("audit")["ConfigMap"]["metadata"]["name"]
