"""How is iptables spoken to?  By its programs: there is no library.

Of the two variants (nf_tables, legacy) the one that holds the cluster's rules already; they do not see each
other.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bastion.runtime.errors import StartError

WAIT = "5"  # seconds for the lock that all these programs take
SECONDS = 120.0
NAMES = {"IPv4": "iptables", "IPv6": "ip6tables"}
HINTS = ("KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY", "KUBE-PROXY-CANARY", "KUBE-SERVICES")


class IptablesError(Exception):
    """What the program said."""


class Iptables:
    """`name` such as iptables, iptables-nft or ip6tables-legacy."""

    def __init__(self, name: str) -> None:
        self.name = name

    def save(self, *tables: str, counters: bool = False) -> str:
        more = ["-c"] if counters else []
        return "".join(self._run([f"{self.name}-save", *more, "-t", table]) for table in tables)

    def restore(self, text: str) -> None:
        self._run([f"{self.name}-restore", "--noflush", "-w", WAIT], text)

    def has(self, table: str, chain: str) -> bool:
        try:
            self._run([self.name, "-w", WAIT, "-t", table, "-S", chain])
        except IptablesError:
            return False
        return True

    def _run(self, words: Sequence[str], text: str = "") -> str:
        try:
            done = subprocess.run(  # noqa: S603 programs of the system, and no shell
                words,
                input=text,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",  # comments of others may be of any bytes
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise IptablesError(f"{words[0]}: {error}") from error
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise IptablesError(
                f"{words[0]}: {said[:500]}" if said else f"{words[0]}: status {done.returncode}"
            )
        return done.stdout


def open_iptables(family: str) -> Iptables:
    """Raises StartError where it is not there or cannot be used."""
    plain = NAMES[family]
    if shutil.which(plain) is None:
        raise StartError(f"iptables mode needs the program {plain} (Debian: apt-get install iptables)")
    found = next((one for one in variants(family) if _holds_cluster(one)), Iptables(plain))
    try:
        found.save("nat")
    except IptablesError as error:
        raise StartError(f"iptables mode cannot be used here: {error}") from error
    return found


def variants(family: str) -> list[Iptables]:
    """The legacy one only where the kernel has it loaded: to ask it would load it."""
    plain = NAMES[family]
    names = [f"{plain}-nft"]
    if Path(f"/proc/net/{plain.replace('tables', '_tables')}_names").exists():
        names.append(f"{plain}-legacy")
    return [Iptables(name) for name in names if shutil.which(name)] or [Iptables(plain)]


def _holds_cluster(one: Iptables) -> bool:
    try:
        text = one.save("mangle", "nat")
    except IptablesError:
        return False
    return any(f":{hint} " in text for hint in HINTS)
