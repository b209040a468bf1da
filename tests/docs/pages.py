"""The pages, their blocks of commands and their blocks of YAML."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.e2e.harness import ROOT

PAGES = sorted((ROOT / "docs").rglob("*.md"))
WITH_COMMANDS = [*PAGES, ROOT / "README.md", ROOT / "deploy" / "README.md"]
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>.*?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
_MARK = re.compile(r"run(?:, prints: (?P<prints>.+))?|not run: (?P<why>.+)")


@dataclass(frozen=True)
class Block:
    """`runs`: the tests execute it; `prints` is then a part of what it says.  `why`: why it is not run."""

    page: str
    kind: str
    text: str
    mark: str

    @property
    def marked(self) -> bool:
        return _MARK.fullmatch(self.mark) is not None

    @property
    def runs(self) -> bool:
        return self.mark == "run" or self.mark.startswith("run,")

    @property
    def prints(self) -> str:
        found = _MARK.fullmatch(self.mark)
        return (found and found["prints"]) or ""


def blocks() -> list[Block]:
    return [
        Block(path.relative_to(ROOT).as_posix(), found["kind"], found["text"], found["mark"] or "")
        for path in WITH_COMMANDS
        for found in _BLOCK.finditer(path.read_text())
    ]


COMMANDS = [block for block in blocks() if block.kind in ("sh", "console", "bash")]
YAML = [block for block in blocks() if block.kind == "yaml"]
