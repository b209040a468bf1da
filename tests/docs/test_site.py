"""Do the pages build without a warning, and is every block of commands run or marked as not run?"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.charts import NEWEST, chart, known, mistakes
from tests.docs.pages import COMMANDS, PAGES, WITH_COMMANDS, YAML
from tests.e2e.harness import ROOT


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    built = {
        path.relative_to(tmp_path / "site").with_suffix(".md") for path in (tmp_path / "site").rglob("*.html")
    }
    pages = {path.relative_to(ROOT / "docs") for path in PAGES}
    there = {page.parent / "index.md" if page.name == "README.md" else page for page in pages}
    assert there <= built
    menu = (tmp_path / "site" / "index.html").read_text()
    assert [page for page in there if f'href="{page.with_suffix(".html").as_posix()}"' not in menu] == []


@pytest.mark.parametrize(
    "block", COMMANDS, ids=lambda block: f"{block.page}: {block.text.splitlines()[0][:40]}"
)
def test_commands_are_run_or_say_why_not(block: Any) -> None:
    assert block.marked, f"{block.page}: <!-- run --> or <!-- not run: why --> before\n{block.text}"


COMMAND = re.compile(
    r"^    (?:\(cd|(?:bastion|kubectl|curl|helm|pip|openssl|make|docker|grpcurl|cosign) )", re.MULTILINE
)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_no_command_stands_outside_of_the_blocks(page: Path) -> None:
    outside = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert COMMAND.findall(outside) == []


@pytest.mark.parametrize("block", YAML, ids=lambda block: f"{block.page}: {block.text.splitlines()[0][:40]}")
def test_objects_are_such_as_kubernetes_takes(block: Any) -> None:
    """And what is no object is values of the chart, or a file that says its own kind."""
    for document in yaml.safe_load_all(block.text):
        if {"apiVersion", "kind"} <= document.keys():
            assert not known(document, NEWEST) or mistakes(document, NEWEST) == []
        elif {"hostNames", "certificate", "ingress"} & document.keys():
            chart().validate_schema(document)


def test_links_to_elsewhere_are_listed() -> None:
    """Not fetched: a page that is gone there is no fault here.  A new one is added on purpose."""
    listed = (ROOT / "docs" / "links.txt").read_text().split()
    found = {
        link.rstrip(".,")
        for path in (ROOT / "README.md", ROOT / "SECURITY.md", *PAGES)
        for link in re.findall(r"\]\((https?://[^)\s]+)\)", path.read_text())
    }
    assert sorted(found) == listed
