"""· Changes of state as a feed."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from html import escape

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
