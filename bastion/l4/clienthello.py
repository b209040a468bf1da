"""· Which host does a TLS client name?  RFC 8446, 4.1.2, and RFC 6066, 3; nothing is decrypted or changed."""

from __future__ import annotations

from typing import NamedTuple

HANDSHAKE, CLIENT_HELLO = 22, 1
SERVER_NAME, HOST_NAME = 0, 0
LONGEST = 65536  # bytes: a hello with large key shares and many extensions has a few KiB
UNRECOGNIZED_NAME = b"\x15\x03\x01\x00\x02\x02\x70"  # a fatal alert


class NoHello(Exception):
    """What came is not the beginning of TLS."""


class Hello(NamedTuple):
    """`name` is in lower case, empty where the client names no host."""

    name: str


def read(data: bytes) -> Hello | None:
    """None while more must come.  Raises NoHello."""
    message = _message(data)
    if message is None:
        if len(data) >= LONGEST:
            raise NoHello("a hello without an end")
        return None
    try:
        return Hello(_name(message))
    except IndexError as error:
        raise NoHello("a hello that ends too early") from error


def _message(data: bytes) -> bytes | None:
    """The handshake message, which may lie in several records."""
    found, at, wanted = b"", 0, 4
    while len(found) < wanted:
        head = data[at : at + 5]
        if (head and head[0] != HANDSHAKE) or (len(head) > 1 and head[1] != 3):
            raise NoHello("it does not begin as TLS does")
        if len(head) < 5:
            return None
        size = int.from_bytes(head[3:5], "big")
        if not 0 < size <= 16384:
            raise NoHello("a record of no length that TLS has")
        found += data[at + 5 : at + 5 + size]
        at += 5 + size
        if len(found) >= 4:
            if found[0] != CLIENT_HELLO:
                raise NoHello("its first message is no hello")
            wanted = 4 + int.from_bytes(found[1:4], "big")
            if wanted > LONGEST:
                raise NoHello("a hello that is too long")
        if at > len(data):
            return None if len(found) < wanted else found[4:wanted]
    return found[4:wanted]


def _name(hello: bytes) -> str:
    """Raises IndexError."""
    at = 2 + 32
    at += 1 + hello[at]  # session id
    at += 2 + _number(hello, at)  # cipher suites
    at += 1 + hello[at]  # compression methods
    if at == len(hello):
        return ""
    end = at + 2 + _number(hello, at)
    at += 2
    while at < end:
        kind, size = _number(hello, at), _number(hello, at + 2)
        if kind == SERVER_NAME:
            return _host(hello[at + 4 : at + 4 + size])
        at += 4 + size
    return ""


def _host(extension: bytes) -> str:
    if len(extension) < 5 or extension[2] != HOST_NAME:
        return ""
    size = _number(extension, 3)
    return extension[5 : 5 + size].decode("ascii", "replace").lower().rstrip(".")


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
