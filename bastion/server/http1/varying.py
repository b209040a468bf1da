"""· What is left of a head without the lines that are others in every request?

A request id is another one each time, and all the rest of the head came before.  So the lines that were new
last time, a few at most, are left out of what is looked for, and what passes of them is put back in.
"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.message.lines import LONGEST_NAME, LineTable

MOST = 3  # lines


def beginnings(lines: Sequence[bytes]) -> tuple[bytes, ...]:
    """How lines of these names begin, with the end of the line before; empty where they are too many."""
    names = [line.partition(b":")[0] for line in lines]
    if len(names) > MOST or any(len(name) > LONGEST_NAME for name in names):
        return ()
    return tuple(b"\r\n%b:" % name for name in names)


def without(data: bytes, varying: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
    """(the head without these lines, the lines); whole, where it does not have all of them in this order.

    Where a line was, a NUL is, which is in no head: so each remainder is that of one head only, but for the
    lines.
    """
    pieces, lines, start = [], [], 0
    for beginning in varying:
        at = data.find(beginning, start)
        if at < 0:
            return data, ()
        pieces.append(data[start:at])
        start = data.find(b"\r\n", at + 2)
        lines.append(data[at + 2 : start])
    pieces.append(data[start:])
    return b"\0".join(pieces), lines


def divided(
    passed: Sequence[bytes], lines: Sequence[bytes], table: LineTable
) -> tuple[Sequence[bytes], ...] | None:
    """What passes before, between and behind these lines; None where they do not pass."""
    pieces, start = [], 0
    for line in lines:
        said = table.passing(line)
        if said not in passed[start:]:
            return None
        at = passed.index(said, start)
        pieces.append(passed[start:at])
        start = at + 1
    return (*pieces, passed[start:])


def interleaved(
    pieces: tuple[bytes, ...], lines: Sequence[bytes], table: LineTable
) -> tuple[bytes, ...] | None:
    """What passes, with these lines between the pieces; None where they do not fit: a line is malformed, or
    a head has a NUL where a line was.
    """
    if len(pieces) != len(lines) + 1:
        return None
    if not lines:
        return pieces
    passed = [pieces[0]]
    for line, piece in zip(lines, pieces[1:], strict=True):
        try:
            said = table.passing(line)
        except ValueError:
            return None
        if not said:
            return None
        passed += (said, piece)
    return tuple(passed)
