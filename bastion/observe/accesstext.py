"""The access log for people: when, which code, what was requested and how long it took; the rest as
name=value.
"""

from __future__ import annotations

from collections.abc import Callable

from bastion.observe.accessline import ENDED, MAX_LINE, Context, Event, context_of, cut, event_of, key_of
from bastion.observe.record import Record
from bastion.observe.texts import inert

# Fields that are not repeated behind the sentence: it has them, or they tell a person nothing.
_LEFT_OUT = frozenset(
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
    return _bounded(record, msg, _plain)


def coloured_line(record: Record, msg: str = ENDED) -> bytes:
    return _bounded(record, msg, _coloured)


def _bounded(record: Record, msg: str, written: Callable[[Event, Context], str]) -> bytes:
    event, context = event_of(record, msg), context_of(key_of(record))
    text = written(event, context).encode("utf-8", "replace")
    return text if len(text) <= MAX_LINE else written(*cut(event, context)).encode("utf-8", "replace")


def _plain(event: Event, context: Context) -> str:
    took = _milliseconds(event.seconds)
    return f"{event.time} {_code(event)} {_request(event, context)} {took} {_rest(event, context)}"


def _coloured(event: Event, context: Context) -> str:
    colour = _COLOURS.get(event.code // 100, _RED)
    took = _milliseconds(event.seconds)
    return (
        f"{_DIM}{event.time}{_OFF} {colour}{_code(event)}{_OFF} {_request(event, context)}"
        f" {colour}{took}{_OFF} {_DIM}{_rest(event, context)}{_OFF}"
    )


def _code(event: Event) -> str:
    code = f"{event.code:03d}" if event.code else "---"
    return code if event.msg == ENDED else f"{code} (goes on)"


def _request(event: Event, context: Context) -> str:
    return inert(f"{event.method} {context.host}{event.path}")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f}ms"


def _rest(event: Event, context: Context) -> str:
    fields = [
        (field, value)
        for part in (event, context)
        for field in part.__struct_fields__
        if field not in _LEFT_OUT and (value := getattr(part, field))
    ]
    stages = [(stage, _milliseconds(seconds)) for stage, seconds in event.stages.items()]
    return " ".join(f"{name}={_value(value)}" for name, value in (*fields, *stages))


def _value(value: object) -> str:
    text = inert(str(value))
    return (
        text
        if text and not any(one in text for one in ' "=')
        else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
