"""One table makes the words: everything that answers a client itself has one of them, and each is used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from bastion.kube import errorwords
from bastion.kube.errorreference import markdown
from bastion.kube.errors import error_of
from bastion.kube.errorword import REASONS, Hop, Word
from bastion.kube.errorwords import WORDS
from bastion.kube.status import StatusError

ROOT = Path(__file__).parent.parent.parent
# `standalone` stands in for an API server, `localproxy` for kubectl: they speak in their words alone.
NOT_OURS = {"standalone", "localproxy"}
MAKERS = {"kube/status.py", "kube/errors.py"}
WAY = sorted(
    path
    for path in (ROOT / "bastion").rglob("*.py")
    if path.relative_to(ROOT / "bastion").parts[0] not in NOT_OURS
    and path.relative_to(ROOT / "bastion").as_posix() not in MAKERS
)
# What may be taken from kube/status.py without making an error of it.
PLAIN = {"CONTENT_TYPE", "Cause", "StatusError", "quoted", "status_body"}
CONSTANTS = {name: word for name, word in vars(errorwords).items() if isinstance(word, Word)}


def of_file(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", WAY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_error_of_the_way_has_a_word(path: Path) -> None:
    """No file makes an error but through `kube.errors`, and names a word of the table there."""
    for node in ast.walk(of_file(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "bastion.kube.status":
            assert {alias.name for alias in node.names} <= PLAIN
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        assert node.func.id != "StatusError", f"line {node.lineno} makes a StatusError without a word"
        if node.func.id == "error_of":
            named = {one.id for one in ast.walk(node.args[0]) if isinstance(one, ast.Name)}
            constants = {name for name in named if name.isupper()}
            assert constants <= CONSTANTS.keys() | {"ENDED"}, f"line {node.lineno}"


def test_each_word_is_used() -> None:
    used = set()
    for path in (*WAY, *(ROOT / "bastion" / maker for maker in MAKERS)):
        for node in ast.walk(of_file(path)):
            if isinstance(node, ast.ImportFrom) and node.module == "bastion.kube.errorwords":
                used |= {alias.name for alias in node.names}
    assert CONSTANTS.keys() - used == set()


def test_the_reference_is_what_the_table_says() -> None:
    assert (ROOT / "docs/reference/errors.md").read_text() == markdown(), "make reference"


@pytest.mark.parametrize("word", WORDS.values(), ids=str)
def test_a_word_is_whole(word: Word) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]+", word.name)
    assert word.hop in Hop
    assert REASONS.keys() >= {*word.codes}
    assert word.meaning and word.remedy and word.told
    assert not word.meaning.endswith(".") and not word.remedy.endswith(".")


@pytest.mark.parametrize("word", WORDS.values(), ids=str)
def test_the_word_and_the_hop_are_the_first_cause(word: Word) -> None:
    error = error_of(word, "kube's words", "what helps")
    assert isinstance(error, StatusError)
    assert (error.message, error.name) == ("kube's words: what helps", word.name)
    cause = error.causes[0]
    assert (cause.reason, cause.field, cause.message) == (word.name, word.hop, "what helps")
