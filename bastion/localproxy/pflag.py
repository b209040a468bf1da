"""· How does kubectl read a command line?

The grammar and the error lines of github.com/spf13/pflag: `--x=y`, `--x y`, `-xy`, `-x=y`, `-x y`; a boolean
takes a value only behind `=`; plain arguments may stand anywhere; the last of several counts, except for
lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_UNIT = re.compile(r"[^.0-9]*")
_OCTAL = re.compile(r"[+-]?0(_?[0-7])+")
_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
MAX_INT = 1 << 63
MAX_DURATION = MAX_INT / 1e9  # seconds: nanoseconds are what Go counts


class FlagError(ValueError):
    """In pflag's words."""


class HelpRequested(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Flag:
    """`read` raises ValueError; `hint` is what stands behind the flag's name in the help."""

    name: str
    default: Any
    help: str
    read: Callable[[str], Any] = str
    short: str = ""
    repeated: bool = False  # each use adds one; else the last use counts

    @property
    def is_switch(self) -> bool:
        return self.read is boolean

    @property
    def title(self) -> str:
        """As error lines name it."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


def quoted(text: str) -> str:
    """As by Go's strconv.Quote."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(_ESCAPES.get(letter, letter) for letter in escaped) + '"'


def boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {quoted(text)}: invalid syntax")


def integer(text: str) -> int:
    """Go's ParseInt with base 0."""
    try:
        if not text.isascii() or text != text.strip():
            raise ValueError
        value = int(text.replace("_", ""), 8) if _OCTAL.fullmatch(text) else int(text, 0)
    except ValueError:
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax") from None
    return _within(value, text, MAX_INT)


def level(text: str) -> int:
    """Of the log: decimal, 32 bits."""
    if re.fullmatch(r"[+-]?[0-9]+", text) is None:
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: invalid syntax")
    return _within(int(text[:20]), text, 1 << 31)


def _within(value: int, text: str, most: int) -> int:
    if not -most <= value < most:
        raise ValueError(f"strconv.ParseInt: parsing {quoted(text)}: value out of range")
    return value


def duration(text: str) -> float:
    """Seconds, of Go's notation: `1h2m3.5s`, `-1s`, `0`."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0.0
    invalid = ValueError(f"time: invalid duration {quoted(text)}")
    if not rest:
        raise invalid
    seconds = 0.0
    while rest:
        number = _NUMBER.match(rest)
        if number is None:
            raise invalid
        unit = _unit(rest[number.end() :], text)
        seconds += float(number[0]) * _UNITS[unit]
        rest = rest[number.end() + len(unit) :]
    if seconds > MAX_DURATION:
        raise invalid
    return -seconds if text[0] == "-" else seconds


def _unit(rest: str, text: str) -> str:
    """What `rest` begins with.  Raises ValueError."""
    found = _UNIT.match(rest)
    unit = found[0] if found is not None else ""
    if unit in _UNITS:
        return unit
    if not unit:
        raise ValueError(f"time: missing unit in duration {quoted(text)}")
    raise ValueError(f"time: unknown unit {quoted(unit)} in duration {quoted(text)}")


def terse_duration(text: str) -> float:
    """Of a flag that Go's own flag package reads, which does not say what is wrong."""
    try:
        return duration(text)
    except ValueError:
        raise ValueError("parse error") from None


def parse(flags: Sequence[Flag], argv: Sequence[str]) -> tuple[dict[str, Any], list[str], list[str]]:
    """(values by flag name, plain arguments, what stands behind `--`).

    Raises FlagError or HelpRequested.
    """
    by_name = {flag.name: flag for flag in flags}
    by_short = {flag.short: flag for flag in flags if flag.short}
    values: dict[str, Any] = {flag.name: flag.default for flag in flags}
    plain: list[str] = []
    rest = iter(argv)
    for word in rest:
        if word == "--":
            return values, plain, list(rest)
        if word.startswith("--"):
            _set(values, *_long(by_name, word, rest))
        elif word.startswith("-") and word != "-":
            for flag, text in _shorts(by_short, word, rest):
                _set(values, flag, text)
        else:
            plain.append(word)
    return values, plain, []


def _long(by_name: dict[str, Flag], word: str, rest: Iterator[str]) -> tuple[Flag, str]:
    name, equals, text = word[2:].partition("=")
    if not name or name[0] == "-":
        raise FlagError(f"bad flag syntax: {word}")
    flag = by_name.get(name.replace("_", "-"))  # as kubectl's WordSepNormalizeFunc
    if flag is None:
        if name == "help":
            raise HelpRequested
        raise FlagError(f"unknown flag: --{name}")
    if equals:
        return flag, text
    if flag.is_switch:
        return flag, "true"
    try:
        return flag, next(rest)
    except StopIteration:
        raise FlagError(f"flag needs an argument: {word}") from None


def _shorts(by_short: dict[str, Flag], word: str, rest: Iterator[str]) -> Iterator[tuple[Flag, str]]:
    letters = word[1:]
    while letters:
        flag = by_short.get(letters[0])
        if flag is None:
            if letters[0] == "h":
                raise HelpRequested
            raise FlagError(f"unknown shorthand flag: '{letters[0]}' in {word}")
        if len(letters) > 2 and letters[1] == "=":
            yield flag, letters[2:]
            return
        if flag.is_switch:
            yield flag, "true"
            letters = letters[1:]
            continue
        if len(letters) > 1:
            yield flag, letters[1:]
            return
        try:
            yield flag, next(rest)
        except StopIteration:
            raise FlagError(f"flag needs an argument: '{letters[0]}' in {word}") from None
        return


def _set(values: dict[str, Any], flag: Flag, text: str) -> None:
    try:
        value = flag.read(text)
    except ValueError as error:
        raise FlagError(f'invalid argument {quoted(text)} for "{flag.title}" flag: {error}') from None
    values[flag.name] = (*values[flag.name], value) if flag.repeated else value


def described(flags: Sequence[Flag]) -> str:
    """The help of all flags, by name, as kubectl prints it."""
    return "\n\n".join(
        f"    {flag.title}={_default(flag.default)}:\n\t{flag.help}"
        for flag in sorted(flags, key=lambda flag: flag.name)
    )


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}s"
    if isinstance(value, tuple):
        return "[]"
    return f"'{value}'" if isinstance(value, str) else str(value)
