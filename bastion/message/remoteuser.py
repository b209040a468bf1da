"""· How is a backend told who asks?  In the fields that kube-apiserver's front proxies use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from bastion.kube.user import User


def remote_user_lines(user: User) -> list[bytes]:
    """With line ends.  Raises ValueError where a name cannot stand in a header field."""
    lines = [field_line("X-Remote-User", user.name)]
    lines += [field_line("X-Remote-Uid", user.uid)] if user.uid else []
    lines += [field_line("X-Remote-Group", group) for group in user.groups]
    return lines + extra_lines("X-Remote-Extra-", user.extra)


def extra_lines(prefix: str, extra: Iterable[tuple[str, Iterable[str]]]) -> list[bytes]:
    """A key is percent-encoded, as kube-apiserver reads it."""
    return list(_extra_lines(prefix, extra))


def _extra_lines(prefix: str, extra: Iterable[tuple[str, Iterable[str]]]) -> Iterator[bytes]:
    for key, found in extra:
        yield from (field_line(prefix + quote(key, safe=""), value) for value in found)


def field_line(name: str, value: str) -> bytes:
    """Raises ValueError."""
    if not value or not value.isprintable() or value != value.strip():
        raise ValueError(f"{value!r} cannot stand in a header field")
    return f"{name}: {value}\r\n".encode()
