"""What does `--help` print?  Written from the table of options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bastion.settings.kinds import Several
from bastion.settings.option import Option, options_of, sections_of

NARROWEST, WIDEST = 60, 110  # columns
INDENT = 6


@dataclass(frozen=True, slots=True)
class Manual:
    """What the table does not say of a command.  `first`: the flags that one needs first."""

    command: str
    summary: str
    first: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def help_text(whole: type, manual: Manual, columns: int) -> str:
    width = max(NARROWEST, min(columns, WIDEST))
    rows = options_of(whole)
    lines = [f"usage: {manual.command} [FLAGS]", "", *textwrap.wrap(manual.summary, width)]
    if manual.first:
        wanted = [row for flag in manual.first for row in rows if row.flag == flag]
        lines += ["", "the flags you need first:", *_entries(wanted, width)]
    for section in sections_of(whole):
        others = [row for row in section.options if row.flag not in manual.first]
        if others:
            lines += ["", f"{section.title}:", *_entries(others, width)]
    lines += ["  -h, --help", f"{'':{INDENT}}print this help and exit"]
    for note in manual.notes:
        lines += ["", *textwrap.wrap(note, width)]
    if manual.examples:
        lines += ["", "examples:"]
        for what, command in manual.examples:
            lines += [f"  # {what}", f"  {command}"]
    return "\n".join(lines) + "\n"


def _entries(rows: Sequence[Option], width: int) -> Iterator[str]:
    for row in rows:
        yield f"  {flag_of(row)}"
        yield from textwrap.wrap(
            explained(row), width, initial_indent=" " * INDENT, subsequent_indent=" " * INDENT
        )


def flag_of(row: Option) -> str:
    short = f"-{row.short}, " if row.short else ""
    value = f"[={row.kind.metavar}]" if row.kind.is_switch else f" {row.kind.metavar}"
    return f"{short}--{row.flag}{value}"


def explained(row: Option) -> str:
    """One sentence, with the default and what else the table knows."""
    notes = [f"default {row.shown_default}"] if row.shown_default else []
    if isinstance(row.kind, Several) and not row.kind.last:
        notes.append("may be repeated")
    if row.reloadable:
        notes.append("reloadable")
    return f"{row.help} ({'; '.join(notes)})" if notes else row.help
