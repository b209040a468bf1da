"""· One request of the http prober, as HTTP/1.1 and as HTTP/2 write its head."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Hop:
    """One request as it is sent."""

    method: str
    path: bytes
    body: bytes


def http1_head(hop: Hop, fields: dict[str, str], more: list[tuple[str, str]]) -> bytes:
    """`more` are the fields of this hop alone."""
    lines = [
        f"{'-'.join(word.capitalize() for word in name.split('-'))}: {value}\r\n"
        for name, value in [*fields.items(), *more]
    ]
    length = ""
    if hop.body or hop.method in ("POST", "PUT", "PATCH"):
        length = f"Content-Length: {len(hop.body)}\r\n"
    head = f"{hop.method} {hop.path.decode('latin-1')} HTTP/1.1\r\n{''.join(lines)}{length}"
    return f"{head}Connection: close\r\n\r\n".encode("latin-1", "replace")


def http2_head(hop: Hop, fields: dict[str, str], more: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    head = [
        (b":method", hop.method.encode()),
        (b":scheme", b"https"),
        (b":authority", fields["host"].encode()),
        (b":path", hop.path),
    ]
    head += [
        (name.lower().encode(), value.encode())
        for name, value in [*fields.items(), *more]
        if name.lower() not in ("host", "connection", "transfer-encoding", "upgrade", "keep-alive")
    ]
    if hop.body:
        head.append((b"content-length", str(len(hop.body)).encode()))
    return head
