"""Options of passing calls on: which belong together, and what one alone would mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from bastion.runtime.errors import ConfigError
from bastion.settings.config import serve_config


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--pass-through-identity=impersonate",), "means nothing without --pass-through"),
        (("--discover-apiservers",), "means nothing without --pass-through"),
        (("--pass-through-sessions",), "means nothing without --pass-through"),
        (("--pass-through-affinity=user",), "means nothing without --pass-through"),
        (("--pass-through", "--pass-through-identity=requestheader"), "cannot be without it"),
        (("--pass-through", "--pass-through-client-certificate=FILE"), "belong together"),
        (
            ("--pass-through", "--pass-through-client-certificate=FILE", "--pass-through-client-key=FILE"),
            "is for --pass-through-identity requestheader",
        ),
        (("--pass-through", "--pass-through-sessions", "--sign-in=false"), "needs --sign-in"),
        (("--pass-through", "--pass-through-identity=other"), "is not one of"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError) as caught:
        serve_config([flag.replace("FILE", str(file)) for flag in flags])
    assert any(said in line for line in caught.value.mistakes), caught.value.mistakes


def test_who_is_never_named_can_be_chosen() -> None:
    assert serve_config(["--pass-through"]).pass_through.deny_groups == ("system:masters", "system:nodes")
    own = serve_config(["--pass-through", "--pass-through-deny-groups=admins,system:masters"])
    assert own.pass_through.deny_groups == ("admins", "system:masters")
