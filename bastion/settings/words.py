"""· Did you mean another word?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """What to put behind a line about an unknown word; `otherwise` where no known one is like it."""
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, 1, 0.6)
    return f" (did you mean {lower[near[0]]}?)" if near else otherwise
