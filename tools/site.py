"""What do pages of the site make of links that lead out of docs/?  Text: it has docs/ alone.

A hook of mkdocs (mkdocs.yml).  Pages that are in no menu yet are added to the one of their folder.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
MENUS = {"guides": "Guides", "reference": "Reference", "tutorials": "Tutorials"}
DECISIONS = "decisions/README.md"


def on_config(config: Any) -> Any:
    known = set(re.findall(r"[\w/-]+\.md", str(config["nav"])))
    menus = {
        title: pages for menu in config["nav"] if isinstance(menu, dict) for title, pages in menu.items()
    }
    for path in sorted(Path(config["docs_dir"]).glob("*/*.md")):
        page = path.relative_to(config["docs_dir"]).as_posix()
        if page not in known and (title := MENUS.get(path.parent.name)):
            menus[title].append(page)
    decisions = sorted(path.name for path in Path(config["docs_dir"], "decisions").glob("0*.md"))
    at = menus["Reference"].index(DECISIONS)
    menus["Reference"][at] = {"Decisions": [DECISIONS, *(f"decisions/{name}" for name in decisions)]}
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    folder = PurePosixPath(page.file.src_uri).parent
    return LINK.sub(lambda link: _inside(link, folder), markdown)


def _inside(link: re.Match[str], folder: PurePosixPath) -> str:
    target = normpath(folder / link[2])
    if target.startswith("..") or target.endswith((".py", ".yaml")):
        return link[1] if link[1].startswith("`") else f"{link[1]} (`{target.removeprefix('../')}`)"
    return link[0]
