"""Which options count anew when the file changes, and is each of them handed to what holds it?"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from bastion.cli.reread import Reread, changes, replaced
from bastion.settings.config import Config, config_of, serve_config
from bastion.settings.load import load
from bastion.settings.option import options_of
from bastion.settings.options import Options
from bastion.wiring.adjustable import Adjustable

RELOADABLE = [row for row in options_of(Options) if row.reloadable]


def of(*argv: str) -> Options:
    return load(Options, argv, {}).options


def flat(value: Any) -> list[Any]:
    if is_dataclass(value):
        return [inner for item in fields(value) for inner in flat(getattr(value, item.name))]
    return [value]


def test_changes_are_found_and_only_those_asked_for_are_taken() -> None:
    old, new = of("--port=1"), of("--port=2", "--max-lookup-qps=3", "--workers=4")
    changed = changes(old, new)
    assert {row.flag for row in changed} == {"port", "max-lookup-qps", "workers"}
    taken = replaced(old, new, [row for row in changed if row.reloadable])
    assert taken == of("--port=1", "--max-lookup-qps=3")


@pytest.mark.parametrize("row", RELOADABLE, ids=lambda row: row.flag)
def test_what_is_reloadable_reaches_what_holds_it(row: Any) -> None:
    parts = {item.name: Mock() for item in fields(Adjustable)}
    unit = "s" if row.kind.metavar == "DURATION" else ""
    Adjustable(**parts)(serve_config([f"--{row.flag}=7654321{unit}"]))
    calls = [call for part in parts.values() for call in part.mock_calls]
    held = [one for part in parts.values() for one in vars(part).values()]
    arguments = [one for call in calls for one in call.args]
    values = [one for value in (*held, *arguments) for one in flat(value)]
    assert 7654321 in values


def test_workers_take_their_part_of_a_new_limit() -> None:
    given = load(Options, ["--workers=4", "--max-exchanges-per-user=10"], {})
    assert config_of(given).limits.exchanges_per_user == 3


def test_a_changed_file_is_applied_with_the_workers_that_there_are(tmp_path: Path) -> None:
    file, old = tmp_path / "bastion.yaml", tmp_path / "ca.crt"
    head = "apiVersion: bastion.dev/v1alpha1\nkind: BastionConfiguration\n"
    old.touch()
    file.write_text(head + "authentication: {clientCAFile: ca.crt}\n")
    argv = ("--config", str(file), "--workers=2")
    applied: list[Config] = []
    reread = Reread(argv, load(Options, argv, {}), None)
    (followed,) = reread.followed(applied.append)
    assert applied == []
    old.unlink()
    file.write_text(head + "limits: {lookupQPS: 8}\nserving: {workers: 4, port: 1}\n")
    followed.again()
    assert [config.limits.lookup_qps for config in applied] == [4]
    file.write_text(head + "limits: {lookupQPS: -8}\n")
    followed.again()
    file.unlink()
    followed.again()
    assert len(applied) == 1
    file.write_text(head + "limits: {lookupQPS: 8}\n")
    followed.again()
    assert len(applied) == 1, "it is what counts already"
