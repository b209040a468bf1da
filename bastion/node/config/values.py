"""· How are kube-proxy's values written?  Durations as Go has them, addresses with a port, lists by comma."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|m|s|us|µs|ns)")
_DURATION = re.compile(rf"[-+]?(?:{_PART.pattern})+\Z")


@dataclass(frozen=True, slots=True)
class Kind:
    """`read` takes what YAML gives, `parse` a flag's text; both raise ValueError.  `write` is for YAML."""

    name: str
    read: Callable[[Any], Any]
    parse: Callable[[str], Any]
    write: Callable[[Any], Any] = lambda value: value


def seconds(text: str) -> float:
    """Of `1h30m`, `10ms`, `-1s`, `0`."""
    if text == "0":
        return 0.0
    if not _DURATION.match(text):
        raise ValueError(f"{text!r} is not a duration such as 30s, 10ms or 1h30m")
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return -total if text.startswith("-") else total


def duration(value: float) -> str:
    """As Go writes it: 15m0s, 10ms."""
    if value < 0:
        return f"-{duration(-value)}"
    if 0 < value < 1:
        return f"{round(value * 1000, 6):g}ms"
    hours, rest = divmod(value, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{hours:.0f}h" if hours else ""
    text += f"{minutes:.0f}m" if hours or minutes else ""
    return f"{text}{rest:g}s"


def _duration_of(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError("must be a duration in quotes, such as 30s")
    return seconds(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be a list of strings")
    return tuple(value)


def _gates(value: Any) -> dict[str, bool]:
    if not isinstance(value, dict) or not all(isinstance(one, bool) for one in value.values()):
        raise ValueError("must map names to true or false")
    return value


def _anything(value: Any) -> Any:
    return value


def parse_boolean(text: str) -> bool:
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise ValueError(f"{text!r} is not true or false")


def _parse_integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _parse_number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]+)?", text):
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def _parse_texts(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _parse_gates(text: str) -> dict[str, bool]:
    pairs = (part.partition("=") for part in _parse_texts(text))
    return {name: parse_boolean(value) for name, _, value in pairs}


TEXT = Kind("string", _text, str)
BOOLEAN = Kind("true|false", _boolean, parse_boolean)
INTEGER = Kind("int", _integer, _parse_integer)
NUMBER = Kind("number", _number, _parse_number)
DURATION = Kind("duration", _duration_of, seconds, duration)
TEXTS = Kind("strings", _texts, _parse_texts, list)
GATES = Kind("name=true|false,…", _gates, _parse_gates)
ANYTHING = Kind("", _anything, str)


def socket_address(text: str, port: int) -> tuple[str, int]:
    """(address, port) of `0.0.0.0:10256`, `[::]:10256` or an address alone.  Raises ValueError."""
    host, number = text, str(port)
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        number = rest.removeprefix(":") if rest else number
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not an address with a port")
    elif text.count(":") == 1:
        host, _, number = text.partition(":")
    try:
        address = str(ip_address(host))
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address with a port") from None
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise ValueError(f"{number!r} is not a port number, 1 to 65535")
    return address, int(number)
