"""Charts rendered by Helm's own library, objects made comparable, and Kubernetes' schemas."""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
import yaml
from helm_python import Chart
from referencing import Registry, Resource

from bastion.settings.load import load
from bastion.settings.option import options_of
from bastion.settings.options import Options
from tests.deploy.test_manifests import DEPLOY

CHART = DEPLOY / "helm" / "bastion"
OLDEST, NEWEST = "1.27", "1.37"
OF_THE_CHART = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
    "checksum/config",
}


@cache
def chart() -> Chart:
    return Chart.load(CHART)


def render(values: Any, *, name: str = "bastion", namespace: str = "bastion") -> list[dict[str, Any]]:
    chart().validate_schema(values)
    texts = chart().render(values, name=name, namespace=namespace)
    return [
        document
        for path, text in sorted(texts.items())
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def compared(objects: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """By kind and name, without what only one of the two ways has: labels of Helm, its Namespace, tags.

    What the bastion is given by flags here and by the chart's file there is compared as the options that
    follow from it.
    """
    found = {
        (one["kind"], one["metadata"]["name"]): _plain(copy.deepcopy(one))
        for one in objects
        if one["kind"] != "Namespace"
    }
    file = found.pop(("ConfigMap", "bastion-config"), None)
    if (deployment := found.get(("Deployment", "bastion"))) is not None:
        _options(deployment["spec"]["template"], file["data"]["bastion.yaml"] if file is not None else {})
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, dict):
        return value
    plain = {key: _plain(one) for key, one in value.items() if key not in OF_THE_CHART}
    if isinstance(plain.get("args"), list):
        plain["args"] = [plain["args"][0], *sorted(plain["args"][1:])]
    if isinstance(plain.get("image"), str):
        plain["image"] = plain["image"].partition(":")[0]
    if plain.get("kind") == "ConfigMap" and "data" in plain:
        plain["data"] = {key: yaml.safe_load(text) for key, text in plain["data"].items()}
    return plain


def _options(template: Any, file: Any) -> None:
    """Puts in the place of the arguments what they mean."""
    (container,) = template["spec"]["containers"]
    loaded = load(Options, container["args"][1:], {}, read=lambda _: json.dumps(file))
    assert loaded.mistakes == ()
    container["args"] = {
        row.key: getattr(getattr(loaded.options, row.section), row.name)
        for row in options_of(Options)
        if row.section
    }
    for volumes in (template["spec"]["volumes"], container["volumeMounts"]):
        volumes[:] = [one for one in volumes if one["name"] != "config"]
    if not template["metadata"].get("annotations"):
        template["metadata"].pop("annotations", None)


@cache
def _schemas(version: str) -> Any:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema"
    (found,) = [
        one
        for one in folder.iterdir()
        if one.name.startswith(f"v{version}.") and one.name.endswith("-local-strict")
    ]
    return found


@cache
def _registry(version: str) -> Any:
    text = (_schemas(version) / "_definitions.json").read_text()
    return Resource.from_contents(json.loads(text)) @ Registry()


@cache
def _validator(kind: str, api: str, version: str) -> Any:
    """None for a kind that Kubernetes itself does not have."""
    group, _, number = api.rpartition("/")
    prefix = f"{group.partition('.')[0]}-" if group else ""
    file = _schemas(version) / f"{kind.lower()}-{prefix}{number}.json"
    if not file.is_file():
        return None
    schema = json.loads(file.read_text())
    return jsonschema.Draft202012Validator(
        schema, registry=Resource.from_contents(schema) @ _registry(version)
    )


def known(one: Any, version: str) -> bool:
    return _validator(one["kind"], one["apiVersion"], version) is not None


def mistakes(one: Any, version: str) -> list[str]:
    """By Kubernetes' schemas of that version, in which unknown fields are none."""
    validator = _validator(one["kind"], one["apiVersion"], version)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(one)]
