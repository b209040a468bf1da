"""Does a release come from tested source, signed, with no more rights than needed?  Read, not run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deploy.test_dockerfile import ROOT, STAGES, only

FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
RELEASE: Any = yaml.safe_load((FOLDER / "release.yml").read_text())
JOBS = RELEASE["jobs"]


def used(job: str, action: str) -> Any:
    (step,) = [step for step in JOBS[job]["steps"] if step.get("uses", "").startswith(f"{action}@")]
    return step.get("with", {})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_workflow_has_no_rights_but_those_of_its_jobs(file: Any) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for job in workflow["jobs"].values():
        assert job.get("permissions", {"contents": "read"})["contents"] == "read"
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_script_has_an_expression_in_it(file: Any) -> None:
    """What a tag or a branch is called would be a command there."""
    for job in yaml.safe_load(file.read_text())["jobs"].values():
        assert not [step for step in job["steps"] if "${{" in step.get("run", "")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_make_is_asked_for_exists(file: Any) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for job in yaml.safe_load(file.read_text())["jobs"].values():
        for step in job["steps"]:
            if step.get("run", "").startswith("make "):
                assert set(step["run"].split()[1:]) <= targets


def test_nothing_is_published_untested() -> None:
    assert JOBS["images"]["needs"] == "test"
    assert JOBS["chart"]["needs"] == "images"


def test_images_are_for_two_architectures_with_sbom_and_provenance() -> None:
    build = used("images", "docker/build-push-action")
    assert build["platforms"].split(",") == ["linux/amd64", "linux/arm64"]
    assert (build["push"], build["sbom"], build["provenance"]) == (True, True, "mode=max")
    arguments = {line.partition("=")[0] for line in build["build-args"].split()}
    declared = {value.partition("=")[0] for name, value in STAGES[-1] if name == "ARG"}
    assert {argument for argument in arguments if argument.isupper()} == declared
    stages = {only("FROM", stage).split(" AS ")[-1] for stage in STAGES}
    wanted = {row["target"] for row in JOBS["images"]["strategy"]["matrix"]["include"]}
    assert wanted - {""} <= stages


def test_what_is_signed_is_what_was_pushed() -> None:
    (sign,) = [step for step in JOBS["images"]["steps"] if "cosign sign" in step.get("run", "")]
    assert sign["env"]["IMAGE"].endswith("@${{ steps.build.outputs.digest }}")
    assert used("images", "actions/attest-build-provenance")["subject-digest"] in sign["env"]["IMAGE"]
    assert JOBS["images"]["permissions"]["id-token"] == "write"


def test_the_steps_by_hand_are_those_of_the_dockerfile() -> None:
    text = (ROOT / "tools" / "image-steps").read_text()
    user = only("USER", STAGES[-1]).partition(":")[0]
    assert f"--reuid {user} --regid {user}" in text
    for setting in ("PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "HOME=/tmp"):
        assert setting in text and setting in only("ENV", STAGES[-1])
    for word in ("--require-hashes", "requirements-image.lock", "--no-deps", "uninstall"):
        assert word in text
