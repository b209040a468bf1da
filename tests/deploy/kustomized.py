"""What kustomize makes of deploy/, for comparison: of the kinds of steps that stand there, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.deploy.test_manifests import DEPLOY


def kustomized(folder: str, *components: str) -> list[dict[str, Any]]:
    """Resources and generated ConfigMaps, and components with JSON patches of one object each."""
    found = _brought(DEPLOY / folder)
    for component in components:
        found += _brought(DEPLOY / component)
        for patch in kustomization(DEPLOY / component).get("patches", ()):
            (target,) = [
                one
                for one in found
                if (one["kind"], one["metadata"]["name"])
                == (patch["target"]["kind"], patch["target"]["name"])
            ]
            for step in yaml.safe_load(patch["patch"]):
                _take(target, step)
    return found


def kustomization(folder: Path) -> Any:
    return yaml.safe_load((folder / "kustomization.yaml").read_text())


def _brought(folder: Path) -> list[dict[str, Any]]:
    said = kustomization(folder)
    return [
        document
        for name in said.get("resources", ())
        for document in yaml.safe_load_all((folder / name).read_text())
    ] + [_generated(folder, one) for one in said.get("configMapGenerator", ())]


def _generated(folder: Path, said: Any) -> dict[str, Any]:
    assert said["options"]["disableNameSuffixHash"] is True
    pairs = [one.split("=") for one in said["files"]]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": said["name"],
            "namespace": said["namespace"],
            "labels": {**said["options"]["labels"]},
        },
        "data": {key: (folder / file).read_text() for key, file in pairs},
    }


def _take(target: Any, step: Any) -> None:
    *way, last = step["path"].strip("/").split("/")
    for part in way:
        target = target[int(part) if part.isdigit() else part]
    if step["op"] == "remove":
        del target[last]
    elif last == "-":
        target.append(step["value"])
    else:
        assert step["op"] == "add" and last not in target
        target[last] = step["value"]
