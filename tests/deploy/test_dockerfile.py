"""Is the image built from pinned parts, and does it run as nobody?

Read, not built: no container engine is needed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def instructions(text: Any) -> Any:
    """(keyword, arguments) in order, comments dropped and continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(None, 1)[0].upper(), line.split(None, 1)[1]) for line in joined.splitlines()]


def stages(text: Any) -> Any:
    found: list[Any] = []
    for keyword, arguments in instructions(text):
        if keyword == "FROM":
            found.append([])
        found[-1].append((keyword, arguments))
    return found


STAGES = stages((ROOT / "Dockerfile").read_text())
BUILDER, NODE, FINAL = STAGES


def every(keyword: Any, stage: Any) -> Any:
    return [arguments for name, arguments in stage if name == keyword]


def only(keyword: Any, stage: Any) -> Any:
    (arguments,) = every(keyword, stage)
    return arguments


def test_it_is_built_in_one_stage_and_run_in_another() -> None:
    assert only("FROM", BUILDER).endswith(" AS builder")
    assert [copied.split()[0] for copied in every("COPY", FINAL)] == ["--from=builder"]
    assert every("RUN", FINAL) == []


@pytest.mark.parametrize("stage", STAGES, ids=["builder", "node", "final"])
def test_images_are_pinned_and_nothing_is_fetched_by_add(stage: Any) -> None:
    image = only("FROM", stage).split()[0]
    assert re.fullmatch(r"python:3\.\d+-slim(@sha256:[0-9a-f]{64})?", image)
    assert every("ADD", stage) == []


def test_the_image_for_nodes_is_one_of_its_own_with_the_programs_for_rules() -> None:
    assert only("FROM", NODE).endswith(" AS node")
    assert {"iptables", "libnftables1", "nftables"} <= set(only("RUN", NODE).split())
    assert json.loads(only("ENTRYPOINT", NODE)) == ["bastion", "node"]


def test_all_stages_have_the_same_python() -> None:
    assert only("FROM", BUILDER).split()[0] == only("FROM", NODE).split()[0] == only("FROM", FINAL)


def test_it_installs_what_the_lock_says_and_nothing_else() -> None:
    locked, own = every("RUN", BUILDER)[1:]
    assert {"--require-hashes", "requirements-image.lock"} <= set(locked.split())
    assert "--no-deps" in own.split()


def test_the_image_has_what_runs_and_the_extra_for_tracing() -> None:
    runs, image, dev = (
        set(
            re.findall(
                r"^[a-z0-9][^ ]*==[^ ]+", (ROOT / f"requirements{name}.lock").read_text(), re.MULTILINE
            )
        )
        for name in ("", "-image", "-dev")
    )
    assert runs < image <= dev | runs
    assert {one.partition("==")[0] for one in image - runs} >= {
        "opentelemetry-sdk",
        "opentelemetry-exporter-otlp-proto-http",
    }


def test_it_runs_as_a_user_that_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", only("USER", FINAL))
    assert [name for name, _ in FINAL].index("USER") > max(
        i for i, (name, _) in enumerate(FINAL) if name == "COPY"
    )


def test_it_begins_where_its_user_may_write() -> None:
    assert only("WORKDIR", FINAL) == "/tmp"
    assert [name for name, _ in FINAL].index("USER") < [name for name, _ in FINAL].index("WORKDIR")


def test_it_starts_bastion_without_a_shell_and_stops_by_sigterm() -> None:
    assert json.loads(only("ENTRYPOINT", FINAL)) == ["bastion"]
    assert json.loads(only("CMD", FINAL)) == ["serve", "--bind-address=0.0.0.0"]
    assert only("STOPSIGNAL", FINAL) == "SIGTERM"
    assert only("EXPOSE", FINAL) == "8443"
    assert "PATH=/opt/bastion/bin:$PATH" in only("ENV", FINAL)


def test_it_tells_what_it_is() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', only("LABEL", FINAL)))
    assert labels.keys() == {"title", "description", "licenses", "version", "revision"}


def test_no_secret_is_baked_in() -> None:
    for stage in STAGES:
        for keyword in ("ARG", "ENV"):
            for arguments in every(keyword, stage):
                assert not re.search(r"TOKEN|PASSWORD|SECRET|KEY", arguments, re.IGNORECASE)


def test_only_what_is_copied_may_enter_the_build() -> None:
    ignored = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert ignored[0] == "*"
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source.removeprefix("./") for arguments in every("COPY", BUILDER) for source in arguments.split()[:-1]
    }
    assert allowed == copied
