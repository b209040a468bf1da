"""The bench's objects are ones that the embedded API takes, and its users may use them."""

from __future__ import annotations

from pathlib import Path

from bastion.authn.tokenfile import read_token_file
from bastion.standalone.manifests import load
from bench.fixture import GROUP, User, manifests, token_file, web_services


def test_manifests_load(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(manifests(web_services("127.99.0", 20)))
    loaded = load([file])
    kinds = [key[0] for key in loaded.objects]
    assert (kinds.count("services"), kinds.count("pods"), loaded.skipped) == (20, 40, set())  # type: ignore[comparison-overlap]


def test_tokens_load(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text(token_file([User("user-00", "one"), User("user-01", "two")]))
    assert {token: (user.name, user.groups) for token, user in read_token_file(file).items()} == {
        "one": ("user-00", (GROUP,)),
        "two": ("user-01", (GROUP,)),
    }
