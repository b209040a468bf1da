"""Do the manifests fit together, and do they grant the bastion no more than it needs?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bastion import __version__
from bastion.server.run import CLOSING_SECONDS, Endings
from bastion.settings.load import load
from bastion.settings.options import Options

DEPLOY = Path(__file__).parents[2] / "deploy"
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
DOCUMENTS = [
    document
    for name in KUSTOMIZATION["resources"]
    for document in yaml.safe_load_all((DEPLOY / name).read_text())
]
CLUSTER_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
LABELS = {"app.kubernetes.io/name": "bastion"}


def one(kind: Any, name: str = "bastion") -> Any:
    (found,) = [
        document for document in DOCUMENTS if (document["kind"], document["metadata"]["name"]) == (kind, name)
    ]
    return found


def rules_of(account: Any) -> Any:
    """What is granted to a service account: (roles bound by name alone, rules of those that stand here)."""
    roles = [
        binding["roleRef"]["name"]
        for binding in DOCUMENTS
        if binding["kind"].endswith("RoleBinding")
        and account in [subject["name"] for subject in binding["subjects"]]
    ]
    here = {
        document["metadata"]["name"]: document["rules"]
        for document in DOCUMENTS
        if document["kind"] in ("ClusterRole", "Role")
    }
    return {role for role in roles if role not in here}, [
        rule for role in roles for rule in here.get(role, [])
    ]


DEPLOYMENT = one("Deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_every_file_is_part_of_the_kustomization() -> None:
    files = {path.name for path in DEPLOY.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.yaml")), ids=lambda path: path.name)
def test_a_file_opens_by_saying_what_it_answers(path: Any) -> None:
    assert re.match(r"# .*\?", path.read_text())


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda document: f"{document['kind']}/{document['metadata']['name']}"
)
def test_every_object_says_what_and_where_it_is(document: Any) -> None:
    assert {"apiVersion", "kind", "metadata"} <= document.keys()
    assert document["metadata"]["labels"].items() >= LABELS.items()
    expected = None if document["kind"] in CLUSTER_WIDE else "bastion"
    assert document["metadata"].get("namespace") == expected


def test_no_secret_is_checked_in() -> None:
    assert "Secret" not in {document["kind"] for document in DOCUMENTS}


SELECTORS = [
    ("Deployment", lambda spec: spec["selector"]["matchLabels"]),
    ("Service", lambda spec: spec["selector"]),
    ("PodDisruptionBudget", lambda spec: spec["selector"]["matchLabels"]),
    ("NetworkPolicy", lambda spec: spec["podSelector"]["matchLabels"]),
]


@pytest.mark.parametrize(("kind", "selector"), SELECTORS, ids=[kind for kind, _ in SELECTORS])
def test_every_selector_finds_the_pods(kind: Any, selector: Any) -> None:
    assert selector(one(kind)["spec"]) == DEPLOYMENT["spec"]["template"]["metadata"]["labels"] == LABELS


def test_replicas_are_spread_and_may_be_evicted_one_at_a_time() -> None:
    assert DEPLOYMENT["spec"]["replicas"] == 2
    assert one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    spread = POD["topologySpreadConstraints"]
    assert {constraint["topologyKey"] for constraint in spread} == {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    }
    assert all(constraint["labelSelector"]["matchLabels"] == LABELS for constraint in spread)


def test_port_names_agree() -> None:
    names = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert names == {"https": 8443, "peers": 8444}
    assert [(port["port"], port["targetPort"]) for port in one("Service")["spec"]["ports"]] == [
        (443, "https")
    ]
    assert [port["port"] for rule in one("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]] == [
        "https",
        "peers",
    ]
    assert {"--port=8443", "--probe-peer-address=0.0.0.0:8444"} <= set(CONTAINER["args"])
    (peers,) = [rule["from"] for rule in one("NetworkPolicy")["spec"]["ingress"] if "from" in rule]
    assert peers == [{"podSelector": {"matchLabels": LABELS}}]


PROBES = [
    ("startupProbe", "/.bastion/livez"),
    ("livenessProbe", "/.bastion/livez"),
    ("readinessProbe", "/.bastion/readyz"),
]


@pytest.mark.parametrize(("probe", "path"), PROBES)
def test_probes_ask_over_https(probe: Any, path: Any) -> None:
    assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "https", "scheme": "HTTPS"}


# --- what the bastion may


def test_every_binding_names_a_role_and_an_account_that_exist() -> None:
    roles = {document["metadata"]["name"] for document in DOCUMENTS if document["kind"] == "ClusterRole"} | {
        "system:auth-delegator"
    }
    for document in DOCUMENTS:
        if document["kind"] == "ClusterRoleBinding":
            assert document["roleRef"]["name"] in roles
            assert document["subjects"] == [
                {"kind": "ServiceAccount", "name": "bastion", "namespace": "bastion"}
            ]
    assert POD["serviceAccountName"] == one("ServiceAccount")["metadata"]["name"]


def test_the_bastion_may_review_access_and_see_what_exists_and_nothing_else() -> None:
    elsewhere, rules = rules_of("bastion")
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    seen = {"get", "list", "watch"}
    assert elsewhere == {"system:auth-delegator"}
    leases = granted.pop(("coordination.k8s.io", "leases"))
    assert leases == {"get", "update"}
    assert one("Role", "bastion-probes")["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["bastion-probes"],
            "verbs": ["get", "update"],
        },
    ]
    assert granted == {
        ("", "pods"): seen,
        ("", "services"): seen,
        ("discovery.k8s.io", "endpointslices"): {"list", "watch"},
    }


@pytest.mark.parametrize(
    "word",
    ["*", "secrets", "impersonate", "/proxy", "/exec", "/portforward", "escalate", "bind", "nonResourceURLs"],
)
def test_the_bastion_is_never_granted(word: Any) -> None:
    words = [
        word for rule in rules_of("bastion")[1] for key, values in rule.items() for word in (key, *values)
    ]
    assert not [granted for granted in words if word in granted]


# --- what users may be given

USER_ROLES = [("bastion-proxy-reader", ["get"]), ("bastion-proxy-editor", ["*"])]


@pytest.mark.parametrize(("name", "verbs"), USER_ROLES)
def test_a_user_role_grants_proxying_to_pods_and_services_alone(name: Any, verbs: Any) -> None:
    role = one("ClusterRole", name)
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["pods/proxy", "services/proxy"], "verbs": verbs}
    ]
    assert not [label for label in role["metadata"]["labels"] if "aggregate-to" in label]


@pytest.mark.parametrize(("name", "verbs"), USER_ROLES)
def test_a_user_role_is_bound_to_nobody(name: Any, verbs: Any) -> None:
    assert name not in [document["roleRef"]["name"] for document in DOCUMENTS if "roleRef" in document]


# --- how it runs


def test_the_namespace_admits_restricted_pods_only() -> None:
    assert one("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_pod_is_restricted() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a read-only root
    besides.
    """
    assert {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }.items() <= POD["securityContext"].items()
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & POD.keys()
    assert all(set(volume) - {"name"} <= {"secret", "emptyDir", "projected"} for volume in POD["volumes"])


def test_it_is_the_user_of_the_image() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", (DEPLOY.parent / "Dockerfile").read_text(), re.MULTILINE)
    assert user == (str(POD["securityContext"]["runAsUser"]), str(POD["securityContext"]["runAsGroup"]))


def test_the_image_is_of_this_version() -> None:
    assert CONTAINER["image"] == f"bastion:{__version__}"


FILES = [
    ("tls", "bastion-tls", {"--tls-cert-file": "tls.crt", "--tls-private-key-file": "tls.key"}),
    ("session", "bastion-session", {"--session-key-file": "key"}),
]


@pytest.mark.parametrize(("name", "secret", "flags"), FILES, ids=[name for name, _, _ in FILES])
def test_the_keys_lie_where_the_flags_say_and_only_the_pod_can_read_them(
    name: Any, secret: Any, flags: Any
) -> None:
    (mount,) = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == name]
    (volume,) = [volume for volume in POD["volumes"] if volume["name"] == name]
    assert mount["readOnly"] is True
    for flag, file in flags.items():
        assert f"{flag}={mount['mountPath']}/{file}" in CONTAINER["args"]
    assert volume["secret"] == {"secretName": secret, "defaultMode": 0o440}
    assert POD["securityContext"]["fsGroup"] == POD["securityContext"]["runAsGroup"]
    assert (
        f"create secret {'tls' if name == 'tls' else 'generic'} {secret}"
        in (DEPLOY / "README.md").read_text()
    )


def test_no_service_of_the_namespace_reaches_the_environment() -> None:
    assert POD["enableServiceLinks"] is False


def test_there_is_time_to_drain() -> None:
    options = load(Options, CONTAINER["args"][1:], {}).options
    drain = max(options.streams.drain, Endings().exchanges)
    assert options.serving.shutdown_delay + drain + CLOSING_SECONDS < POD["terminationGracePeriodSeconds"]


def test_memory_is_limited_and_cpu_is_not() -> None:
    assert CONTAINER["resources"]["requests"].keys() == {"cpu", "memory"}
    assert CONTAINER["resources"]["limits"].keys() == {"memory"}


def test_every_flag_exists() -> None:
    command, *flags = CONTAINER["args"]
    assert command == "serve"
    assert load(Options, flags, {}).mistakes == ()


def test_the_readme_names_every_file_and_role() -> None:
    readme = (DEPLOY / "README.md").read_text()
    assert [
        name
        for name in (*KUSTOMIZATION["resources"], *(role for role, _ in USER_ROLES), "bastion-tls")
        if name not in readme
    ] == []
