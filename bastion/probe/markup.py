"""· Status as a plain page, and its changes as a feed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from html import escape
from typing import Any

from bastion.probe.wanted import Wanted


def status_html(document: dict[str, Any], now: float) -> str:
    rows = "".join(_row(one, now) for one in document["targets"])
    prober = document["prober"]
    note = (
        ""
        if prober.get("state") == "ok"
        else f"<p><strong>The prober: {escape(_said(prober))}</strong></p>\n"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Status</title></head><body>\n'
        f"<h1>Status</h1>\n{note}"
        "<table><thead><tr><th>Target<th>Module<th>State<th>Since<th>Endpoints<th>24 h<th>30 d<th>Reason"
        f"</tr></thead><tbody>\n{rows}</tbody></table>\n"
        f"<p>{len(document['targets'])} targets that you may open, as of {_time(now)}</p>\n</body></html>\n"
    )


def _row(one: dict[str, Any], now: float) -> str:
    endpoints = one["endpoints"]
    up = sum(endpoint["state"] == "up" for endpoint in endpoints)
    uptime = one.get("uptime", {})
    reason = next((endpoint["reason"] for endpoint in endpoints if endpoint["reason"]), "")
    cells = (
        one["target"],
        one["module"],
        one["state"] + (" (flapping)" if one.get("flapping") else ""),
        _time(one["since"]) if one.get("since") else "",
        f"{up}/{len(endpoints)}" if endpoints else "",
        _share(uptime.get("24h")),
        _share(uptime.get("30d")),
        reason,
    )
    return f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>\n"


def _said(prober: dict[str, Any]) -> str:
    return str(prober.get("reason") or prober.get("state"))


def _share(value: float | None) -> str:
    return f"{value * 100:.2f}%" if value is not None else ""


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


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
