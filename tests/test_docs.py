"""Does what the pages for operators name exist?"""

from __future__ import annotations

import re

import pytest

from bastion.cli.main import COMMANDS as PROGRAMS
from bastion.cli.node import flag_names
from bastion.localproxy.options import FLAGS as PROXY_FLAGS
from bastion.settings.allocating import AllocatingOptions, AnnouncingOptions
from bastion.settings.option import options_of
from tests.docs.pages import COMMANDS
from tests.e2e.harness import ROOT

PAGES = (
    "README.md",
    "SECURITY.md",
    "docs/guides/proxy.md",
    "docs/guides/cli.md",
    "docs/guides/tunnels.md",
    "docs/hardening.md",
    "deploy/README.md",
    "docs/reference/errors.md",
    "docs/reference/flags.md",
    "docs/guides/serve.md",
)
OTHERS = {"--strict", "--proxy-cacert", "--proxy-user", "--proxy-server"}  # of mypy, curl and Chromium
ELSEWHERE = re.compile(r"^\s*(?:curl|kubectl|helm|openssl|docker|\(cd).*$|`kubectl[^`]*`", re.MULTILINE)


def flags() -> set[str]:
    """Of every command."""
    loaded = [command.load() for command in PROGRAMS]
    wholes = [
        AllocatingOptions,
        AnnouncingOptions,
        *(one.OPTIONS for one in loaded if hasattr(one, "OPTIONS")),
    ]
    own = {f"--{row.flag}" for whole in wholes for row in options_of(whole)}
    return {"--help", *own, *(f"--{flag.name}" for flag in PROXY_FLAGS)}  # `proxy` has kubectl's grammar


WRITTEN = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (ROOT, *(ROOT / name for name in ("bench", "deploy", "docs")))
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#[^)\s]*)?\)")
NAMED = re.compile(r"`((?:bastion|tests|bench|tools|deploy|docs)/[\w./-]+)`")


@pytest.mark.parametrize("page", WRITTEN)
def test_every_file_that_is_named_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    missing = [name for name in LINK.findall(text) if not ((ROOT / page).parent / name).exists()]
    assert missing + [name for name in NAMED.findall(text) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_exists(page: str) -> None:
    text = ELSEWHERE.sub("", (ROOT / page).read_text())
    known = flags()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9]*(?:-[a-z0-9]+)*\b(?!-?[*…])", text))
    assert named - known - OTHERS == set()


FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
CALLED = [
    (block.page, line)
    for block in COMMANDS
    for line in block.text.replace("\\\n", " ").splitlines()
    if line.startswith("bastion ")
]


@pytest.mark.parametrize(("page", "line"), CALLED)
def test_every_flag_of_a_command_exists(page: str, line: str) -> None:
    known = flags() | set(flag_names())
    assert set(FLAG.findall(line.partition(" -- ")[0].partition(" #")[0])) - known == set()
