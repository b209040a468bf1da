"""What is written to `openapi/bastion.json`?  `python -m bastion.web.openapi > openapi/bastion.json`.

The same description that a running bastion serves at `/openapi.json`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bastion.web.app import create_app


async def _no_metrics() -> bytes:
    return b""


def document() -> dict[str, Any]:
    return create_app({}, {}, _no_metrics).openapi()


def text() -> str:
    """The document as it is checked in: sorted, so that a change shows as what it is."""
    return json.dumps(document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
