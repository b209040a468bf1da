"""Do the reference pages say what the program's tables say, and do other pages name nothing else?"""

from __future__ import annotations

import re
import runpy
from functools import cache
from typing import Any

import pytest

from bastion.kube.errorwords import WORDS
from bastion.observe.accessline import Context, Event
from tests.docs.pages import PAGES
from tests.e2e.harness import ROOT

FOLDER = ROOT / "docs" / "reference"


@cache
def made() -> Any:
    return runpy.run_path(str(ROOT / "tools/reference.py"))["files"]()


@pytest.mark.parametrize("name", ["metrics.md", "log-fields.md", "api.md"])
def test_the_page_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text() == made()[name], "run make reference"


def test_every_field_of_a_line_is_there() -> None:
    named = re.findall(r"^\| `(\w+)` \|", made()["log-fields.md"].partition("## ")[0], re.MULTILINE)
    assert named == [*Event.__struct_fields__, *Context.__struct_fields__]


def test_every_error_that_a_page_names_exists() -> None:
    known = {word.name for word in WORDS.values()}
    for page in PAGES:
        assert set(re.findall(r"\b[45]\d\d `([A-Z]\w+)`", page.read_text())) <= known, page.name


METRIC = re.compile(r"\bbastion_[a-z0-9_]+[a-z0-9]\b(?!_)")
ENDINGS = re.compile(r"_(?:bucket|count|sum)$")
# Named without `_total`, or all of them at once.
OTHERS = {"bastion_requests", "bastion_lb"}


def metrics() -> set[str]:
    return set(METRIC.findall(made()["metrics.md"]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_metric_that_a_page_names_exists(page: Any) -> None:
    named = {ENDINGS.sub("", name) for name in METRIC.findall(page.read_text())}
    assert named - metrics() - OTHERS == set()


def test_every_metric_of_rules_and_dashboards_exists() -> None:
    for file in (ROOT / "deploy" / "prometheus").iterdir():
        named = {ENDINGS.sub("", name) for name in METRIC.findall(file.read_text())}
        assert named - metrics() == set(), file.name
