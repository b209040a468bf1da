"""The token file: kube-apiserver's CSV, and mistakes that never show a token."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bastion.kube.user import User
from bastion.standalone.tokens import TokenFileError, read_tokens, token_file
from tests.standalone.objects import write

SECRET = "s3cr3t-token"

GOOD = [
    (f'{SECRET},alice,uid-1,"devs,ops"', {SECRET: User("alice", "uid-1", ("devs", "ops"))}),
    (f"{SECRET},alice,uid-1", {SECRET: User("alice", "uid-1")}),
    (f'{SECRET},alice,,""', {SECRET: User("alice")}),
    (f"{SECRET},alice,1,devs", {SECRET: User("alice", "1", ("devs",))}),
    (f'{SECRET},alice,1,"devs, ops",more,columns', {SECRET: User("alice", "1", ("devs", "ops"))}),
    (f'\n{SECRET},"a ""b"" c",1\n\n', {SECRET: User('a "b" c', "1")}),
    (f"\ufeff{SECRET},alice,1\r\nother,bob,2\r\n", {SECRET: User("alice", "1"), "other": User("bob", "2")}),
    (f"{SECRET},system:serviceaccount:ns:bot,1", {SECRET: User("system:serviceaccount:ns:bot", "1")}),
    ("", {}),
]


@pytest.mark.parametrize(("text", "tokens"), GOOD)
def test_tokens_are_read(tmp_path: Path, text: str, tokens: dict[str, User]) -> None:
    assert read_tokens(write(tmp_path / "tokens.csv", text)) == tokens


BAD = [
    (f"{SECRET},alice", "line 1: must have at least 3 columns (token, user name, user uid), found 2"),
    (
        f"fine,alice,1\n\n{SECRET}",
        "line 3: must have at least 3 columns (token, user name, user uid), found 1",
    ),
    (",alice,1", "line 1: the token is empty"),
    (f"{SECRET},,1", "line 1: the user name is empty"),
    (f'fine,alice,1\n{SECRET},bob,1,"devs', "line 2: unexpected end of data"),
    (f'{SECRET},"alice"x,1', "line 1: ',' expected after '\"'"),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_mistakes_name_the_line_and_no_token(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path / "tokens.csv", text)
    with pytest.raises(TokenFileError) as caught:
        read_tokens(file)
    assert str(caught.value) == f"{file}: {message}"
    assert SECRET not in repr(caught.value)


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match=r"tokens\.csv: No such file or directory"):
        read_tokens(tmp_path / "tokens.csv")
    (tmp_path / "tokens.csv").write_bytes(SECRET.encode() + b"\xff,alice,1")
    with pytest.raises(TokenFileError, match=r"tokens\.csv: is not UTF-8") as caught:
        read_tokens(tmp_path / "tokens.csv")
    assert caught.value.__cause__ is None  # it would quote the file


def test_of_a_token_that_is_there_twice_the_last_line_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path / "tokens.csv", f"{SECRET},alice,1\nother,carol,3\n{SECRET},bob,2\n")
    with caplog.at_level(logging.WARNING, "bastion.standalone"):
        assert read_tokens(file)[SECRET].name == "bob"
    (record,) = caplog.records
    assert record.getMessage() == f"{file}: line 3: this token is there twice, the last line counts"
    assert SECRET not in caplog.text


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    text = token_file({"alice": ("t,1", ("devs", "ops")), 'b"ob': ("t2", ())})
    assert read_tokens(write(tmp_path / "t.csv", text)) == {
        "t,1": User("alice", "alice", ("devs", "ops")),
        "t2": User('b"ob', 'b"ob'),
    }
