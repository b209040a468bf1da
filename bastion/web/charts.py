"""· Charts as the paths of an inline SVG, drawn on the server."""

from __future__ import annotations

from collections.abc import Sequence

# From top to bottom of a bar of 32: taller is worse, so that shape tells what colour tells.
_BARS = {"u": (8, 24), "g": (4, 28), "d": (0, 32), "m": (8, 24), "n": (22, 24)}


def bars(code: str) -> list[tuple[str, str]]:
    """A path for each state: a vertical stroke for each letter of `code`."""
    found = []
    for state, (top, bottom) in _BARS.items():
        drawn, last = "", None
        for at in (4 * i + 2 for i, letter in enumerate(code) if letter == state):
            height = bottom - top
            drawn += f"M{at} {top}v{height}" if last is None else f"m{at - last}-{height}v{height}"
            last = at
        if drawn:
            found.append((state, drawn))
    return found


def line(values: Sequence[float], width: int = 96, height: int = 24) -> tuple[str, str, str]:
    """The path of a line without axis, and where it ends; empty for less than two values.

    It begins at zero, so that a small jitter does not look like a mountain.
    """
    if len(values) < 2:
        return "", "", ""
    most = max(values) or 1.0
    step = (width - 5) / (len(values) - 1)
    points = [
        (f"{2 + i * step:.1f}", f"{2 + (1 - value / most) * (height - 4):.1f}")
        for i, value in enumerate(values)
    ]
    return "M" + "L".join(f"{x} {y}" for x, y in points), *points[-1]
