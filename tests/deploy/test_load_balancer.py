"""Do the manifests of load balancers fit together, and grant no more than is done?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bastion.cli import lb, lbcontroller
from bastion.cli.node import flag_names
from bastion.node.balancers.poolfile import pools_of
from bastion.settings.allocating import check as check_controller
from bastion.settings.balancing import check
from bastion.settings.load import load
from bastion.settings.option import options_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "load-balancer"


def objects(*names: str) -> dict[str, Any]:
    return {one["kind"]: one for name in names for one in yaml.safe_load_all((FOLDER / name).read_text())}


OBJECTS = objects("serviceaccount.yaml", "rbac.yaml", "pools.yaml", "deployment.yaml")
ANNOUNCE = objects("announce/kustomization.yaml", "announce/rbac.yaml")


def granted(role: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }


def test_every_file_is_applied_but_the_static_pod() -> None:
    applied = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in FOLDER.glob("*.yaml")} == {
        *applied,
        "kustomization.yaml",
        "control-plane.yaml",
    }


def test_the_controller_may_do_what_it_does() -> None:
    assert granted(OBJECTS["ClusterRole"]) == {
        ("services", "list"),
        ("services", "watch"),
        ("services", "patch"),
        ("services/status", "patch"),
        ("events", "create"),
    }
    assert granted(OBJECTS["Role"]) == {("leases", verb) for verb in ("get", "create", "update")}
    lease = next(row.default for row in options_of(lbcontroller.OPTIONS) if row.flag == "lease")
    assert OBJECTS["Role"]["rules"][1]["resourceNames"] == [lease]
    assert granted(ANNOUNCE["Role"]) == {
        ("leases", verb) for verb in ("get", "list", "watch", "create", "update")
    }


def test_the_controller_starts_with_these_flags_and_pools() -> None:
    (container,) = OBJECTS["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][:2] == ["lb", "controller"]
    loaded = load(lbcontroller.OPTIONS, container["args"][2:], {})
    mistakes = loaded.collect()
    check_controller(loaded.options.allocating, mistakes)
    assert mistakes.lines == []
    (file,) = OBJECTS["ConfigMap"]["data"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(loaded.options.allocating.pools_file) == f"{mounted['pools']}/{file}"
    assert [pool.name for pool in pools_of([], OBJECTS["ConfigMap"]["data"][file], file)] == ["default"]


def test_the_nodes_announce_with_flags_that_exist() -> None:
    (patch,) = ANNOUNCE["Component"]["patches"]
    values = [step["value"] for step in yaml.safe_load(patch["patch"])]
    flags = {value.partition("=")[0] for value in values if isinstance(value, str)}
    assert flags <= flag_names()
    assert "--announce" in flags


def test_the_static_pod_starts_with_these_flags() -> None:
    pod = objects("control-plane.yaml")["Pod"]
    (container,) = pod["spec"]["containers"]
    loaded = load(lb.OPTIONS, container["args"], {})
    mistakes = loaded.collect()
    check(loaded.options.balancing, mistakes)
    assert mistakes.lines == []
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {
        str(loaded.options.balancing.kubeconfig),
        str(loaded.options.balancing.certificate_authority),
    } <= mounted
    assert pod["spec"]["terminationGracePeriodSeconds"] > loaded.options.balancing.drain_timeout


@pytest.mark.parametrize("page", ["load-balancer", "ha-control-plane"])
def test_flags_that_the_guides_name_exist(page: str) -> None:
    text = (ROOT / f"docs/guides/{page}.md").read_text()
    text = re.sub(r"^.*(?:kubectl|kubeadm) .*$", "", text, flags=re.MULTILINE)
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text))
    known = {f"--{row.flag}" for whole in (lb.OPTIONS, lbcontroller.OPTIONS) for row in options_of(whole)}
    assert named <= known | flag_names() | {"--anonymous-auth", "--pass-through", "--control-plane-endpoint"}
