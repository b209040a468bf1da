"""· Changes of state as a feed, and states as a table: plain, the portal has the page for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from email.utils import formatdate
from html import escape
from typing import Any

from bastion.probe.wanted import Wanted


def changes_rss(changes: Sequence[tuple[float, str, Wanted]]) -> str:
    items = "".join(
        f"<item><title>{escape(one.target.text)} is {escape(state)}</title>"
        f'<guid isPermaLink="false">{escape(f"{one.target.text} {one.module} {at:.3f}")}</guid>'
        f"<pubDate>{formatdate(at, usegmt=True)}</pubDate>"
        f"<description>by the module {escape(one.module)}</description></item>\n"
        for at, state, one in changes
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0"><channel><title>Health</title>'
        f"<link>/probe/status</link><description>Changes of state</description>\n{items}</channel></rss>\n"
    )


HEADINGS = ("target", "module", "state", "since", "endpoint", "pod", "reason")


def status_table(prober: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    """HTML of what `/probe/status` says as JSON: a row for each endpoint."""
    state = f"{prober.get('state', '')} {prober.get('reason', '')}".strip()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Probes</title></head><body>\n'
        f'<h1>Probes</h1>\n<p>The prober: {escape(state)}. <a href="../status">Status page</a></p>\n'
        f"<table>\n<thead>{_row('th', HEADINGS)}</thead>\n<tbody>\n"
        + "".join(_row("td", cells) + "\n" for row in rows for cells in _cells(row))
        + "</tbody>\n</table>\n</body></html>\n"
    )


def _cells(row: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for one in row["endpoints"] or (row,):
        since = one.get("since")
        yield (
            row["target"],
            row["module"],
            one["state"],
            formatdate(since, usegmt=True) if since else "",
            one.get("endpoint", ""),
            one.get("pod", ""),
            one.get("reason", ""),
        )


def _row(kind: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells) + "</tr>"
