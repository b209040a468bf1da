"""· What stands around every page: where this is, who is signed in, and where else to go."""

from __future__ import annotations

import re

import msgspec

LINKS = (("portal", "Portal", "/"), ("status", "Status", "/status"))
OPS = ("ops", "Operations", "/ui/ops")


class Frame(msgspec.Struct, frozen=True):
    """`user` empty: nobody is known; `until`: the end of the session in seconds since the epoch, 0 for none;
    `replica` is for those who are signed in.
    """

    now: float
    place: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    until: int = 0
    links: tuple[tuple[str, str, str], ...] = ()
    can_sign_in: bool = True
    replica: str = ""
    request_id: str = ""

    @property
    def initials(self) -> str:
        """Of `dana@example.org` DA, of `system:serviceaccount:shop:ci-deployer` CD."""
        name = self.user.rpartition(":")[2].partition("@")[0]
        words: list[str] = re.findall(r"[^\W_]+", name) or ["?"]
        text = words[0][:2] if len(words) == 1 else words[0][0] + words[1][0]
        return text.upper()
