"""The access log for people: when, what came of it, who asked for what and how long it took; the rest as
name=value.
"""

from __future__ import annotations

from bastion.observe.accessline import ENDED, MAX_LINE, Line, cut, line_of
from bastion.observe.record import Record
from bastion.observe.texts import inert

# What stands in the sentence already, or says nothing to a person.
_SAID = frozenset(
    (
        "time",
        "msg",
        "method",
        "path",
        "host",
        "code",
        "seconds",
        "stages",
        "verb",
        "resource",
        "namespace",
        "name",
    )
)
_GREEN, _CYAN, _YELLOW, _RED, _DIM, _OFF = (f"\x1b[{code}m" for code in ("32", "36", "33", "31", "2", "0"))
_COLOURS = {0: _RED, 1: _GREEN, 2: _GREEN, 3: _CYAN, 4: _YELLOW}  # by the first digit of the code


def text_line(record: Record, msg: str = ENDED) -> bytes:
    return _bounded(line_of(record, msg), _plain)


def coloured_line(record: Record, msg: str = ENDED) -> bytes:
    return _bounded(line_of(record, msg), _coloured)


def _bounded(line: Line, written) -> bytes:  # type: ignore[no-untyped-def]
    text: bytes = written(line).encode("utf-8", "replace")
    return text if len(text) <= MAX_LINE else written(cut(line)).encode("utf-8", "replace")


def _plain(line: Line) -> str:
    return f"{line.time} {_code(line)} {_what(line)} {_milliseconds(line.seconds)} {_rest(line)}"


def _coloured(line: Line) -> str:
    colour = _COLOURS.get(line.code // 100, _RED)
    took = _milliseconds(line.seconds)
    return (
        f"{_DIM}{line.time}{_OFF} {colour}{_code(line)}{_OFF} {_what(line)} {colour}{took}{_OFF}"
        f" {_DIM}{_rest(line)}{_OFF}"
    )


def _code(line: Line) -> str:
    code = f"{line.code:03d}" if line.code else "---"
    return code if line.msg == ENDED else f"{code} (goes on)"


def _what(line: Line) -> str:
    return inert(f"{line.method} {line.host}{line.path}")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f}ms"


def _rest(line: Line) -> str:
    told = [
        (field, value)
        for field in line.__struct_fields__
        if field not in _SAID and (value := getattr(line, field))
    ]
    stages = [(stage, _milliseconds(seconds)) for stage, seconds in line.stages.items()]
    return " ".join(f"{name}={_value(value)}" for name, value in (*told, *stages))


def _value(value: object) -> str:
    text = inert(str(value))
    return (
        text
        if text and not any(one in text for one in ' "=')
        else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
