"""· What may the value of an annotation be?

The owner of an object writes it, who may be anybody: text has no control characters, and nothing that turns
its direction; links lead where they say.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bastion.kube import values
from bastion.kube.annotation import Value
from bastion.kube.values import quoted

SHORTEST_INTERVAL = 0.5

# Unicode's controls, formats that turn the direction of text (UAX 9), and separators of lines
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]")
_PATH = re.compile(r"/[!-~]*")
_PORT_NAME = re.compile(r"[a-z0-9](?:-?[a-z0-9]){0,14}")
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_HTTPS = re.compile(r"https://[A-Za-z0-9][-.A-Za-z0-9]*(?::[0-9]{1,5})?(?:[/?#][!-~]*)?")
_ISO_DURATION = re.compile(r"P(?:(\d{1,3})D)?(?:T(?:(\d{1,4})H)?(?:(\d{1,5})M)?)?")


class Maintenance(NamedTuple):
    """`begin` and `end` in seconds since the epoch."""

    begin: float
    end: float
    text: str


def word_of(*words: str) -> Value:
    return Value(", ".join(f"`{word}`" for word in words), lambda text: values.one_of(words, text))


def set_of(*words: str) -> Value:
    """A list with commas, which may be empty."""

    def parse(text: str) -> frozenset[str]:
        said = [word.strip() for word in text.split(",")]
        return frozenset(values.one_of(words, word) for word in said if word)

    return Value(f"list of {', '.join(f'`{word}`' for word in words)}", parse)


def text_of(longest: int) -> Value:
    def parse(text: str) -> str:
        return " ".join(_UNSEEN.sub(" ", text).split())[:longest].rstrip()

    return Value("text", parse, cut=True)


def _at_least(least: float, parse: Callable[[str], float], what: str) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        value = parse(text)
        if value < least:
            raise ValueError(f"{quoted(text)} is less than {what}")
        return value

    return parsed


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{quoted(text[:64])} is not {what}")
        return text

    return parse


def _link_path(text: str) -> str:
    # A browser takes `\` for `/`, and `//host` for another site.
    if not _PATH.fullmatch(text) or "\\" in text or text.startswith("//"):
        raise ValueError(f"{quoted(text[:64])} is not a path that begins with one slash")
    return text


def _port(text: str) -> str:
    if values.is_number(text) and 1 <= int(text) <= 65535 and text[0] != "0":
        return text
    if values.is_number(text) or not _PORT_NAME.fullmatch(text):
        raise ValueError(f"{quoted(text[:64])} is not the name or number of a port")
    return text


def _number(text: str) -> float:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{quoted(text[:64])} is not a number")
    return value


def _maintenance(text: str) -> Maintenance:
    """`2026-11-27T12:00Z/PT2H why`, or the end's time behind the slash (ISO 8601, 4.4)."""
    interval, _, why = text.partition(" ")
    begin, _, end = interval.partition("/")
    try:
        since = _moment(begin)
        until = since + _length(end) if end.startswith("P") else _moment(end)
    except (ValueError, OverflowError):
        until = since = datetime.min.replace(tzinfo=UTC)
    if until <= since:
        raise ValueError(f"{quoted(interval[:64])} is not a time such as 2026-11-27T12:00Z/PT2H")
    return Maintenance(since.timestamp(), until.timestamp(), TEXT_LINE.parse(why))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _length(text: str) -> timedelta:
    found = _ISO_DURATION.fullmatch(text)
    if found is None:
        raise ValueError(text)
    days, hours, minutes = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def _plain(text: str) -> str:
    return text


TEXT = Value("text", _plain)
TEXT_LINE = text_of(140)
BOOLEAN = Value("`true`, `false`", values.boolean)
DURATION = Value("duration", values.duration)
POSITIVE_DURATION = Value("duration", _at_least(0.001, values.duration, "1ms"))
INTERVAL = Value("duration, at least 500ms", _at_least(SHORTEST_INTERVAL, values.duration, "500ms"))
SIZE = Value("size: `64Ki`, `10Mi`", values.size)
NUMBER = Value("number", _number)
PORT = Value("name or number", _port)
NAME = Value("name", _matching(_DNS_NAME, "the name of an object"))
SERVER_NAME = Value("DNS name", _matching(_DNS_NAME, "a DNS name"))
URL_PATH = Value("path", _matching(_PATH, "a path that begins with a slash"))
LINK_PATH = Value("path", _link_path)
HTTPS_LINK = Value("`https:` link", _matching(_HTTPS, "an https link"))
MAINTENANCE = Value("`2026-11-27T12:00Z/PT2H text`", _maintenance, cut=True)
