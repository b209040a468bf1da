"""IPVS: one virtual server for each front, its addresses on `kube-ipvs0`.  Upstream retires this mode.

The ruleset is text for `ipvsadm --restore`; a kernel without IPVS ends the start with a word.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.metrics import Metrics
from bastion.node.proxier import SyncError
from bastion.node.rules import Rules
from bastion.runtime.errors import StartError

DEVICE = "kube-ipvs0"
SECONDS = 60.0
_FLAGS = {"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service"}

Servers = dict[str, tuple[str, ...]]  # what names a virtual server, and its options; then its real servers


def check() -> None:
    """Raises StartError where this kernel has no IPVS."""
    if not Path("/proc/net/ip_vs").exists():
        raise StartError("mode ipvs: this kernel has no IPVS (module ip_vs); use mode nftables instead")


def servers(fronts: Mapping[FrontKey, Front], scheduler: str) -> Servers:
    """Node ports are left out: they are the addresses of the node, which the caller knows."""
    found: Servers = {}
    for key, front in sorted(fronts.items()):
        if key.address:
            name = f"{_FLAGS[key.protocol]} {_socket(key.address, key.port)}"
            persistent = f" -p {front.affinity}" if front.affinity else ""
            options = f"-s {scheduler}{persistent}"
            real = (f"-r {_socket(address, port)} -m -w 1" for address, port in front.backends)
            found[name] = (options, *real)
    return found


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def restore_text(before: Servers, after: Servers) -> str:
    """For `ipvsadm --restore`: what differs."""
    return "".join(f"{line}\n" for line in _lines(before, after))


def _lines(before: Servers, after: Servers) -> Iterator[str]:
    for name in before.keys() - after.keys():
        yield f"-D {name}"
    for name, (options, *real) in after.items():
        known = before.get(name)
        if known is None:
            yield f"-A {name} {options}"
        elif known[0] != options:
            yield f"-E {name} {options}"
        had = set(known[1:]) if known is not None else set()
        yield from (f"-a {name} {one}" for one in real if one not in had)
        yield from (f"-d {name} {' '.join(one.split()[:2])}" for one in sorted(had - set(real)))


def address_lines(before: set[str], after: set[str], family: str) -> str:
    """For `ip -batch`."""
    length = 32 if family == "IPv4" else 128
    lines = [f"addr add {address}/{length} dev {DEVICE}" for address in sorted(after - before)]
    lines += [f"addr del {address}/{length} dev {DEVICE}" for address in sorted(before - after)]
    return "".join(f"{line}\n" for line in lines)


def addresses(fronts: Mapping[FrontKey, Front]) -> set[str]:
    return {key.address for key in fronts if key.address}


def ruleset(fronts: Fronts, rules: Rules, scheduler: str) -> str:
    """What a start would write: for ip -batch, ipset restore and ipvsadm --restore."""
    text = f"# ip -batch ({rules.family})\nlink add {DEVICE} type dummy\n"
    text += address_lines(set(), addresses(fronts), rules.family)
    family = "inet" if rules.family == "IPv4" else "inet6"
    prefix = "KUBE" if rules.family == "IPv4" else "KUBE-6"
    text += f"# ipset restore\ncreate {prefix}-CLUSTER-IP hash:ip,port family {family} -exist\n"
    for key in sorted(fronts):
        if key.address:
            text += f"add {prefix}-CLUSTER-IP {key.address},{key.protocol.lower()}:{key.port} -exist\n"
    return f"{text}# ipvsadm --restore\n{restore_text({}, servers(fronts, scheduler))}"


class IpvsWriter:
    """Implements `proxier.Writer` by the programs ip and ipvsadm."""

    def __init__(self, family: str, scheduler: str) -> None:
        self._family = family
        self._scheduler = scheduler
        self._fronts: Fronts = {}

    async def full(self, rules: Rules, fronts: Fronts) -> None:
        await asyncio.to_thread(_run, ["ip", "link", "add", DEVICE, "type", "dummy"], "", allowed=True)
        await self._apply(fronts)

    async def change(self, changes: Mapping[FrontKey, Front | None]) -> None:
        after = {**self._fronts}
        for key, front in changes.items():
            if front is None:
                after.pop(key, None)
            else:
                after[key] = front
        await self._apply(after)

    async def intact(self) -> bool:
        return True

    async def disturbed(self) -> None:
        await asyncio.Event().wait()

    def failures(self, metrics: Metrics, family: str, *, partial: bool) -> None:
        """kube-proxy counts none in this mode."""

    async def _apply(self, after: Fronts) -> None:
        lines = address_lines(addresses(self._fronts), addresses(after), self._family)
        text = restore_text(servers(self._fronts, self._scheduler), servers(after, self._scheduler))
        if lines:
            await asyncio.to_thread(_run, ["ip", "-force", "-batch", "-"], lines, allowed=True)
        if text:
            await asyncio.to_thread(_run, ["ipvsadm", "--restore"], text)
        self._fronts = after


def _run(words: list[str], text: str, *, allowed: bool = False) -> None:
    """Raises SyncError; with `allowed` a failure is none (what is asked for may be there)."""
    try:
        done = subprocess.run(  # noqa: S603 programs of the system, and no shell
            words, input=text, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SyncError(f"{words[0]}: {error}") from error
    if done.returncode and not allowed:
        raise SyncError(f"{words[0]}: {' '.join(done.stderr.split())[:500]}")
