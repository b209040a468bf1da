"""What do people see of the configuration?  Every option with its origin, and no secret."""

from __future__ import annotations

from pathlib import Path

from bastion.settings.load import load
from bastion.settings.option import options_of
from bastion.settings.options import Options
from bastion.settings.shown import settings_of


def test_each_option_has_its_origin_and_a_url_no_password() -> None:
    argv = [
        "--port=1234",
        "--kubeconfig=/etc/kube",
        "--session-key-file=/etc/key",
        "--apiserver=https://u:pw@one.test",
    ]
    found = {
        one.flag: one
        for one in settings_of(load(Options, argv, {"BASTION_SERVING_BIND_ADDRESS": "127.0.0.1"}))
    }
    assert found.keys() == {row.flag for row in options_of(Options)}
    assert (found["port"].value, found["port"].origin) == ("1234", "--port")
    assert (found["bind-address"].value, found["bind-address"].origin) == (
        "127.0.0.1",
        "BASTION_SERVING_BIND_ADDRESS",
    )
    assert found["kubeconfig"].value == str(Path("/etc/kube"))
    assert found["session-key-file"].value == "/etc/key"  # the path is shown, what is in it is not
    assert not found["workers"].given
    assert "pw" not in str(found.values())
