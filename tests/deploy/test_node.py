"""Do the manifests for nodes fit together, and grant no more than is read?"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from bastion.cli.node import flag_names
from bastion.node.config.reading import read_file
from bastion.node.config.settings import settings
from bastion.node.watching import SELECTORS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "node"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS = {
    one["kind"]: one
    for name in KUSTOMIZATION["resources"]
    for one in yaml.safe_load_all((FOLDER / name).read_text())
}
POD = OBJECTS["DaemonSet"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_every_file_is_applied() -> None:
    assert {path.name for path in FOLDER.glob("*.yaml")} == {
        *KUSTOMIZATION["resources"],
        "kustomization.yaml",
    }


def test_it_may_read_what_it_watches_and_write_events() -> None:
    granted = {
        (resource, verb)
        for rule in OBJECTS["ClusterRole"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {(resource, verb) for resource in SELECTORS for verb in ("list", "watch")} | {
        ("events", "create")
    }
    assert OBJECTS["ClusterRoleBinding"]["subjects"][0]["name"] == POD["serviceAccountName"]


def test_its_configuration_is_taken() -> None:
    read = read_file(OBJECTS["ConfigMap"]["data"]["config.conf"])
    assert not read.warnings
    assert settings(read.values, "node").mode == "nftables"
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert read.values["clientConnection.kubeconfig"] == f"{mounted['config']}/kubeconfig"
    assert CONTAINER["args"][0] == f"--config={mounted['config']}/config.conf"


def test_flags_that_are_named_exist() -> None:
    named = {argument.partition("=")[0] for argument in CONTAINER["args"]}
    guide = re.sub(r"`(?:docker|kubectl|ipvsadm)[^`]*`", "", (ROOT / "docs/guides/node.md").read_text())
    named |= set(re.findall(r"(?<![\\w-])--[a-z][a-z0-9-]*", guide))
    assert named <= flag_names()
