"""· Badges as people put them into their README."""

from __future__ import annotations

from html import escape

_HEX = {
    "brightgreen": "#4c1",
    "green": "#97ca00",
    "yellow": "#dfb317",
    "red": "#e05d44",
    "lightgrey": "#9f9f9f",
}
_CHARACTER, _MARGIN = 6.6, 10  # of the width in pixels


def badge_json(label: str, message: str, colour: str) -> dict[str, object]:
    """As shields.io reads it from an endpoint."""
    return {"schemaVersion": 1, "label": label, "message": message, "color": colour}


def badge_svg(label: str, message: str, colour: str) -> str:
    left, right = (int(len(text) * _CHARACTER + _MARGIN) for text in (label, message))
    what = escape(f"{label}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img"'
        f' aria-label="{what}"><title>{what}</title>'
        f'<rect width="{left}" height="20" fill="#555"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_HEX[colour]}"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2}" y="14">{escape(label)}</text>'
        f'<text x="{left + right / 2}" y="14">{escape(message)}</text></g></svg>\n'
    )
