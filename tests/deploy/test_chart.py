"""Does the chart render what Kubernetes takes, what kustomize applies, and nothing for a typo?"""

from __future__ import annotations

import json
import re
import runpy
from base64 import b64decode
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from helm_python import Chart, HelmError, lint, package

from bastion import __version__
from bastion.cli.node import flag_names
from bastion.observe.audit.reading import read_policy
from bastion.settings.load import load
from bastion.settings.options import Options
from bastion.standalone.manifests import load as load_manifests
from tests.deploy.charts import CHART, NEWEST, OLDEST, chart, compared, known, mistakes, render
from tests.e2e.harness import ROOT

SCHEMA = runpy.run_path(str(ROOT / "tools/chart_schema.py"))
OWNED = SCHEMA["OWNED"]
FILES = sorted((CHART / "ci").glob("*-values.yaml"))
files = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix("-values.yaml"))
# Kinds of others: their own schemas are not at hand, so what each cannot do without is said here.
OF_OTHERS = {
    ("cert-manager.io/v1", "Certificate"): {"secretName", "dnsNames", "issuerRef"},
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): {"parentRefs", "rules"},
    ("gateway.networking.k8s.io/v1", "BackendTLSPolicy"): {"targetRefs", "validation"},
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {"selector", "endpoints"},
    ("monitoring.coreos.com/v1", "PrometheusRule"): {"groups"},
}


@cache
def values(file: Path) -> Any:
    return yaml.safe_load(file.read_text()) or {}


@cache
def rendered(file: Path) -> Any:
    return render(values(file))


def of_kind(objects: Any, kind: str, name: str = "bastion") -> Any:
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def test_there_are_values_of_many_kinds() -> None:
    assert len(FILES) >= 10


@files
def test_helm_finds_nothing_to_say(file: Path) -> None:
    found = lint(CHART, values(file), strict=True)
    assert (found["messages"], found["errors"]) == ([], [])


@files
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_what_is_rendered(file: Path, version: str) -> None:
    newer = {"FlowSchema", "PriorityLevelConfiguration"} if version == OLDEST else set()
    for one in rendered(file):
        if one["kind"] in newer:
            assert mistakes(one, "1.29") == []
        elif known(one, version):
            assert mistakes(one, version) == []
        else:
            assert one["spec"].keys() >= OF_OTHERS[one["apiVersion"], one["kind"]]


def test_a_field_that_kubernetes_does_not_have_is_found() -> None:
    one = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"ports": [{"prot": 1, "port": 1}]},
    }
    assert "prot" in "".join(mistakes(one, NEWEST))


@files
def test_the_standalone_takes_what_is_rendered(file: Path, tmp_path: Path) -> None:
    (tmp_path / "rendered.yaml").write_text(yaml.safe_dump_all(rendered(file)))
    taken = load_manifests([tmp_path])
    skipped = {kind for _, kind in taken.skipped}
    assert "Service" not in skipped
    assert len(taken.objects) == len([one for one in rendered(file) if one["kind"] not in skipped])


@files
def test_every_flag_and_option_exists(file: Path, tmp_path: Path) -> None:
    """As the pods would read them, with the file that --config names in its place."""
    objects = rendered(file)
    configured = [one for one in objects if one["metadata"]["name"].endswith("bastion-config")]
    for one in configured:
        (tmp_path / "bastion.yaml").write_text(one["data"]["bastion.yaml"])
    for one in objects:
        if one["kind"] not in ("Deployment", "DaemonSet"):
            continue
        (container,) = one["spec"]["template"]["spec"]["containers"]
        if container["name"] == "bastion":
            flags = [flag.replace("/etc/bastion/config", str(tmp_path)) for flag in container["args"][1:]]
            assert load(Options, flags, {}).mistakes == ()
        elif container["name"] == "bastion-node":
            assert {flag.partition("=")[0] for flag in container["args"]} <= flag_names()


@files
def test_every_name_that_is_referred_to_is_there(file: Path) -> None:
    objects = rendered(file)
    there = {(one["kind"], one["metadata"]["name"]) for one in objects}
    given = {"bastion-oidc", "bastion-assertion", "bastion-session", "proxies-session"} | (
        {"bastion-tls"} if values(file).get("certificate") else set()
    )
    for one in objects:
        if one["kind"] in ("Deployment", "DaemonSet"):
            pod = one["spec"]["template"]["spec"]
            mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
            assert sorted(mounts) == sorted(volume["name"] for volume in pod["volumes"])
            for volume in pod["volumes"]:
                if "configMap" in volume:
                    name = volume["configMap"]["name"]
                    assert ("ConfigMap", name) in there or name in given
                if "secret" in volume:
                    name = volume["secret"]["secretName"]
                    assert ("Secret", name) in there or name in given
            assert ("ServiceAccount", pod["serviceAccountName"]) in there or values(file)["serviceAccount"]
            labels = one["spec"]["template"]["metadata"]["labels"]
            assert labels.items() >= one["spec"]["selector"]["matchLabels"].items()
        if one["kind"].endswith("RoleBinding"):
            role = one["roleRef"]
            assert (role["kind"], role["name"]) in there or role["name"] == "system:auth-delegator"


# --- refused

TYPOS: list[tuple[Any, str]] = [
    ({"replica": 2}, "replica"),
    ({"service": {"prot": 443}}, "prot"),
    ({"service": {"type": "Loadbalancer"}}, "type"),
    ({"replicas": "two"}, "replicas"),
    ({"certificate": {"mode": "letsencrypt"}}, "mode"),
    ({"config": {"limit": {}}}, "limit"),
    ({"config": {"limits": {"exchangesPerUsr": 3}}}, "exchangesPerUsr"),
    ({"config": {"limits": {"exchangesPerUser": "many"}}}, "exchangesPerUser"),
    ({"config": {"serving": {"port": 9443}}}, "port"),
    ({"config": {"tracing": {"ratio": 2}}}, "ratio"),
    ({"config": {"browsers": {"hostSuffix": "apps.example.net"}}}, "hostSuffix"),
    ({"hostNames": {"publicURL": "http://bastion.example.org"}}, "publicURL"),
    ({"ingress": {"annotations": {"proxy-body-size": 0}}}, "proxy-body-size"),
    ({"shutdownDelay": "5 s"}, "shutdownDelay"),
]


@pytest.mark.parametrize(("wrong", "named"), TYPOS, ids=[json.dumps(wrong) for wrong, _ in TYPOS])
def test_a_typo_is_refused_by_its_name(wrong: Any, named: str) -> None:
    with pytest.raises(HelmError, match=re.escape(named)):
        chart().validate_schema(wrong)


LACKING: list[tuple[Any, str]] = [
    ({"ingress": {"enabled": True}}, "ingress.hosts"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
    ({"loadBalancer": {"enabled": True}}, "loadBalancer.pools"),
    ({"passThrough": {"enabled": True, "impersonate": True}}, "passThrough.groups"),
    ({"nodeProxy": {"enabled": True, "announce": True}}, "loadBalancer"),
    ({"prometheus": {"serviceMonitor": {"enabled": True}}}, "tokenSecret"),
    ({"certificate": {"mode": "certManager"}}, "certificate.issuerRef"),
]


@pytest.mark.parametrize(("wrong", "named"), LACKING, ids=[named for _, named in LACKING])
def test_what_is_lacking_is_named(wrong: Any, named: str) -> None:
    with pytest.raises(HelmError, match=re.escape(named)):
        render(wrong)


def test_the_schema_follows_from_the_values_and_the_options() -> None:
    assert (CHART / "values.schema.json").read_text() == SCHEMA["text"](CHART)


def test_every_option_is_in_the_schema_or_set_by_the_chart() -> None:
    whole = json.loads((ROOT / "docs/reference/configuration.schema.json").read_text())["properties"]
    taken = chart().schema["properties"]["config"]["properties"]  # type: ignore[index]
    for name, section in whole.items():
        fields = set(section.get("properties", ()))
        assert fields == set(taken.get(name, {}).get("properties", ())) | (OWNED.get(name, set()) & fields)
        assert OWNED.get(name, set()) <= fields


# --- what Helm makes


def test_the_certificate_that_helm_makes_is_for_the_names() -> None:
    names = {"suffix": "apps.example.net", "publicURL": "https://bastion.example.org"}
    secret = of_kind(render({"hostNames": names}), "Secret", "bastion-tls")
    certificate, authority = (
        x509.load_pem_x509_certificate(b64decode(secret["data"][name])) for name in ("tls.crt", "ca.crt")
    )
    certificate.verify_directly_issued_by(authority)
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(alternative.get_values_for_type(x509.DNSName)) == {
        "bastion.bastion.svc",
        "bastion.example.org",
        "*.svc.apps.example.net",
        "*.pod.apps.example.net",
        "localhost",
    }


def test_the_session_key_that_helm_makes_is_another_one_each_time_and_long_enough() -> None:
    keys = {b64decode(of_kind(render(GIVEN), "Secret", "bastion-session")["data"]["key"]) for _ in range(2)}
    assert len(keys) == 2
    assert all(len(key) >= 32 for key in keys)


GIVEN = {"certificate": {"mode": "secret"}}


def test_pods_begin_anew_when_the_configuration_changes() -> None:
    def annotations(limit: int) -> Any:
        objects = render({**GIVEN, "config": {"limits": {"exchangesPerUser": limit}}})
        return of_kind(objects, "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert annotations(1) == annotations(1) != annotations(2)


def test_two_releases_share_no_name_and_no_lease() -> None:
    first, second = (render(GIVEN, name=name, namespace="tools") for name in ("bastion", "other"))
    assert not compared(first).keys() & compared(second).keys()
    assert "--probe-lease=tools/other-bastion-probes" in str(of_kind(second, "Deployment", "other-bastion"))


def test_the_audit_policy_is_one() -> None:
    policy = of_kind(render({**GIVEN, "audit": {"enabled": True}}), "ConfigMap", "bastion-audit")
    assert read_policy(policy["data"]["policy.yaml"])[1] == []


def test_it_is_of_this_version_and_can_be_packed(tmp_path: Path) -> None:
    assert chart().metadata["appVersion"] == chart().metadata["version"] == __version__
    packed = Chart.load(package(CHART, destination=tmp_path))
    assert {"files/rules.yaml", "files/dashboard.json", "files/bastion-dashboard.json"} <= {
        file["name"] for file in packed.files
    }
    assert not [file for file in packed.files if file["name"].startswith("ci/")]


def test_the_notes_name_what_there_is() -> None:
    notes = chart().render({}, name="bastion", namespace="tools")["bastion/templates/NOTES.txt"]
    assert "https://bastion.tools.svc inside" in notes
    assert "get secret bastion-tls" in notes
