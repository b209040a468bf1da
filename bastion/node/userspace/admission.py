"""· From whom does a front take packets at all?  Those of others the kernel drops: they meet silence.

As classic BPF, a filter on the listening socket that sees each SYN and each datagram (socket(7),
SO_ATTACH_FILTER).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_network

import msgspec

from bastion.node.fronts import Front
from bastion.node.rules import Rules

MOST_STEPS = 4096  # of the kernel (BPF_MAXINSNS)
LOOPBACK_INTERFACE = 1
# linux/filter.h: an address relative to the network header, and the interface that it came in on.
_NETWORK, _INTERFACE = 0xFFF00000, 0xFFFFF000 + 8
_SOURCE = {"IPv4": 12, "IPv6": 8}
_LOAD, _AND, _EQUALS, _JUMP, _RETURN = 0x20, 0x54, 0x15, 0x05, 0x06
_ALL = 0xFFFFFFFF

Step = tuple[int, int, int, int]  # code, how many to leave out where it holds and where it does not, a value


class Gate(msgspec.Struct, frozen=True):
    """Who passes: sources in these ranges, and with `own` what this node sends itself."""

    ranges: tuple[str, ...]
    own: bool = False


def gates(front: Front, rules: Rules) -> tuple[Gate, ...]:
    """A client has to pass them all; none where everybody may come."""
    found = [Gate(front.sources)] if front.sources else []
    if not front.backends:
        found.append(Gate(rules.detection.cidrs, own=True) if front.splits else Gate(()))
    return tuple(found)


def program(gates: tuple[Gate, ...], family: str) -> bytes:
    """The filter's instructions; empty where there are no gates, or more ranges than the kernel takes."""
    steps = [step for gate in gates for step in _gate(gate, family)]
    if not gates or len(steps) >= MOST_STEPS:
        return b""
    return b"".join(struct.pack("=HBBI", *step) for step in (*steps, (_RETURN, 0, 0, _ALL)))


def _gate(gate: Gate, family: str) -> Iterator[Step]:
    """Falls through for those who pass."""
    blocks = [_in_range(text, family) for text in gate.ranges]
    if gate.own:
        blocks.append([(_LOAD, 0, 0, _INTERFACE), (_EQUALS, 0, 1, LOOPBACK_INTERFACE)])
    left = sum(len(block) + 1 for block in blocks)
    for block in blocks:
        left -= len(block) + 1
        yield from block
        yield _JUMP, 0, 0, left + 1  # past the others and the end
    yield _RETURN, 0, 0, 0


def _in_range(text: str, family: str) -> list[Step]:
    """Of one that is not in the range the step that follows is left out."""
    network = ip_network(text)
    words = network.max_prefixlen // 32
    steps: list[Step] = []
    for word in range(words):
        shift = 32 * (words - 1 - word)
        mask, wanted = (int(x) >> shift & _ALL for x in (network.netmask, network.network_address))
        if mask:
            steps.append((_LOAD, 0, 0, _NETWORK + _SOURCE[family] + 4 * word))
            steps += [(_AND, 0, 0, mask)] if mask != _ALL else []
            steps.append((_EQUALS, 0, 0, wanted))
    return [
        (code, 0, len(steps) - number if code == _EQUALS else 0, value)
        for number, (code, _, _, value) in enumerate(steps)
    ]
