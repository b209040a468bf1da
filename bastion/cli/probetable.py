"""· The samples of a probe as a table for a terminal."""

from __future__ import annotations

import re
from typing import NamedTuple

_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_GREEN, _RED, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"


class Row(NamedTuple):
    pod: str
    endpoint: str
    healthy: bool
    status: str
    seconds: float


def rows(text: str) -> list[Row]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None:
            continue
        labels = dict(_LABEL.findall(match[2] or ""))
        where = labels.get("pod", ""), labels.get("endpoint", "")
        found.setdefault(where, {}).setdefault(match[1], float(match[3]))
    return [
        Row(
            pod,
            endpoint,
            samples["probe_success"] == 1,
            f"{samples['probe_http_status_code']:g}" if samples.get("probe_http_status_code") else "",
            samples.get("probe_duration_seconds", 0.0),
        )
        for (pod, endpoint), samples in sorted(found.items())
        if "probe_success" in samples
    ]


def table(found: list[Row], *, colour: bool) -> str:
    lines = [("POD", "ENDPOINT", "STATE", "HTTP", "TIME")]
    lines += [
        (
            row.pod or "-",
            row.endpoint or "-",
            "up" if row.healthy else "down",
            row.status,
            f"{row.seconds * 1000:.0f} ms",
        )
        for row in found
    ]
    widths = [max(len(line[n]) for line in lines) for n in range(5)]
    shown = []
    for n, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        if colour and n:
            text = f"{_GREEN if found[n - 1].healthy else _RED}{text}{_PLAIN}"
        shown.append(text)
    return "\n".join(shown) + "\n"
