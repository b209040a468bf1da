"""Does a value have the shape it must have?  Small checks that combine into the shape of a manifest.

A check takes a value and returns nothing, or raises InvalidValue; the path to the wrong field is put together
while the exception travels up, so that a manifest that is right pays nothing for it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], None]

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(rf"{LABEL.pattern}(\.{LABEL.pattern})*")


class InvalidValue(Exception):
    """What is wrong (`problem`), and where (`path`, `spec.ports[0].port`; empty for the value itself)."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem

    def within(self, outer: str) -> InvalidValue:
        """The same mistake as seen from the value that holds the field (`ports`) or the item (`[0]`)."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        return InvalidValue(self.problem, f"{outer}{separator}{self.path}")


def string(value: Any) -> None:
    if not isinstance(value, str):
        hint = ": put it in quotes" if isinstance(value, bool | int | float) else ""
        raise InvalidValue(f"must be a string{hint}")


def boolean(value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidValue("must be true or false")


def integer(low: int, high: int) -> Check:
    def check(value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidValue(f"must be an integer between {low} and {high}")

    return check


port_number = integer(1, 65535)


def port_name_or_number(value: Any) -> None:
    if isinstance(value, str) and any(char.isalpha() for char in value):
        return  # a name has a letter: that is how the two are told apart
    try:
        port_number(value)
    except InvalidValue:
        raise InvalidValue("must be the name of a port or an integer between 1 and 65535") from None


def choice(*allowed: str) -> Check:
    def check(value: Any) -> None:
        if value not in allowed or not isinstance(value, str):
            raise InvalidValue(f"must be one of {', '.join(allowed)}")

    return check


def address(value: Any) -> None:
    """A literal IP address; the empty string stands for none, as on the wire."""
    string(value)
    if value and not is_address(value):
        raise InvalidValue("must be an IP address")


def is_address(text: str, version: int | None = None) -> bool:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and version in (None, parsed.version)


def matching(pattern: re.Pattern[str], longest: int, description: str) -> Check:
    def check(value: Any) -> None:
        string(value)
        if len(value) > longest or not pattern.fullmatch(value):
            raise InvalidValue(f"must be {description} of at most {longest} characters")

    return check


dns_label = matching(LABEL, 63, "lower-case letters, digits and '-'")
dns_subdomain = matching(SUBDOMAIN, 253, "lower-case letters, digits, '-' and '.'")


def path_segment(value: Any) -> None:
    """What RBAC objects may be called: anything that fits between two slashes."""
    string(value)
    if not value or value in (".", "..") or "/" in value or "%" in value:
        raise InvalidValue("must not be empty, '.' or '..', or contain '/' or '%'")


def each(check: Check, *, unique: tuple[str, ...] = ()) -> Check:
    """A list; of the fields named in `unique` no two items may have the same (but both may lack it)."""

    def check_list(value: Any) -> None:
        if not isinstance(value, list):
            raise InvalidValue("must be a list")
        seen: set[tuple[str, Any]] = set()
        for index, item in enumerate(value):
            try:
                check(item)
                _refuse_repeated(item, unique, seen)
            except InvalidValue as error:
                raise error.within(f"[{index}]") from None

    return check_list


def _refuse_repeated(item: Any, fields: tuple[str, ...], seen: set[tuple[str, Any]]) -> None:
    for name in fields:
        if (value := item.get(name)) is None:
            continue
        if (name, value) in seen:
            raise InvalidValue(f"{value!r} is there twice", name)
        seen.add((name, value))


def strings(value: Any) -> None:
    _strings(value)


_strings = each(string)


def some_strings(value: Any) -> None:
    _strings(value)
    if not value:
        raise InvalidValue("must have at least one entry")


def string_map(value: Any) -> None:
    """Labels, annotations, selectors."""
    if not isinstance(value, dict):
        raise InvalidValue("must be an object")
    for key, inner in value.items():
        try:
            string(inner)
        except InvalidValue as error:
            raise error.within(f"[{key}]") from None


def fields(checks: Mapping[str, Check], *, required: tuple[str, ...] = ()) -> Check:
    """An object; fields that `checks` does not name are let through unseen, a null is a field left out."""

    def check_object(value: Any) -> None:
        if not isinstance(value, dict):
            raise InvalidValue("must be an object")
        for name in required:
            if value.get(name) in (None, ""):
                raise InvalidValue("must be set", name)
        for name, check in checks.items():
            if (inner := value.get(name)) is not None:
                try:
                    check(inner)
                except InvalidValue as error:
                    raise error.within(name) from None

    return check_object


def both(*checks: Check) -> Check:
    """All of several checks, in their order."""

    def check_all(value: Any) -> None:
        for check in checks:
            check(value)

    return check_all
