"""Whose token is it, says the file; and where is the file wrong, without showing a token?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bastion.authn.authenticator import Credentials
from bastion.authn.tokenfile import TokenFileAuthenticator, TokenFileError, TokenTable, read_token_file
from bastion.kube.user import User
from tests.fakes import SOMEBODY, run


def read(tmp_path: Path, text: Any) -> dict[str, User]:
    path = tmp_path / "tokens.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_token_file(path)


FILES = [
    ("t,alice,1\n", {"t": User("alice", "1")}),
    ("t,alice,\n", {"t": User("alice", "")}),
    ("t,alice,1", {"t": User("alice", "1")}),
    ('t,alice,1,"a,b"\n', {"t": User("alice", "1", ("a", "b"))}),
    ('t, alice, 1, "a, b"\n', {"t": User("alice", "1", ("a", "b"))}),
    ("t,alice,1,\n", {"t": User("alice", "1")}),
    ('t,alice,1,"a,,b,"\n', {"t": User("alice", "1", ("a", "b"))}),
    ("t,alice,1,a,ignored\n", {"t": User("alice", "1", ("a",))}),
    ("t,alice,1\r\nu,bob,2\r\n", {"t": User("alice", "1"), "u": User("bob", "2")}),
    ("\nt,alice,1\n\n", {"t": User("alice", "1")}),
    ('"a,b",alice,1\n', {"a,b": User("alice", "1")}),
    ("t,alicé,1\n", {"t": User("alicé", "1")}),
    ("\ufefft,alice,1\n", {"t": User("alice", "1")}),  # as Windows editors write it
    ("", {}),
]


@pytest.mark.parametrize(("text", "tokens"), FILES)
def test_a_file_is_read_as_kube_apiserver_reads_it(
    tmp_path: Path, text: str, tokens: dict[str, User]
) -> None:
    assert read(tmp_path, text) == tokens


MISTAKES = [
    ("hunter2,alice\n", "line 1"),
    ("t,alice,1\nhunter2\n", "line 2"),
    (",hunter2,1\n", "line 1"),
    ("hunter2,,1\n", "line 1"),
    ("t,alice,1\n\nhunter2,,1\n", "line 3"),
    (b"hunter2,\xff,1\n", "UTF-8"),
    # a quote that is never closed would make a group of bob's token
    ('t,alice,1,"a\nhunter2,bob,2\n', "line"),
    ('t,alice,1,"a"b,c\nhunter2,bob,2\n', "line"),
]


@pytest.mark.parametrize(("text", "place"), MISTAKES)
def test_a_mistake_is_told_by_its_place_and_without_the_token(tmp_path: Path, text: Any, place: str) -> None:
    with pytest.raises(TokenFileError, match=place) as caught:
        read(tmp_path, text)
    assert "tokens.csv" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_token_file(tmp_path / "none")


@pytest.mark.parametrize(
    ("token", "user"),
    [
        ("t", User("alice", "1", ("a", "system:authenticated"))),
        ("T", None),
        ("t ", None),
        ("", None),
        (None, None),
        ("é", None),
    ],
)
def test_a_token_is_looked_up_whole(token: str | None, user: User | None) -> None:
    tokens = TokenTable({"t": User("alice", "1", ("a",))})
    assert run(TokenFileAuthenticator(lambda: tokens).authenticate(Credentials(token), SOMEBODY)) == user


def test_no_token_is_kept_in_the_clear() -> None:
    kept = [
        key
        for known in vars(TokenTable({"hunter2": User("alice")})).values()
        if isinstance(known, dict)
        for key in known
    ]
    assert kept
    assert not any("hunter2" in str(key) for key in kept)


def test_an_empty_file_lets_nobody_in() -> None:
    nobody = TokenTable({})
    assert run(TokenFileAuthenticator(lambda: nobody).authenticate(Credentials("t"), SOMEBODY)) is None
