"""· Where does an application's URL point to, seen from under its path prefix?

An application assumes that it is at `/` of its own host.  Here it is under `/api/v1/…/proxy` of the
bastion's: a URL of the application is put under that prefix, one of another host stays as it is, and one that
cannot be judged is refused.  What counts is how a browser reads it (WHATWG URL), which accepts more than
RFC 3986.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address


@dataclass(frozen=True, slots=True)
class Mount:
    """Where an application is mounted, for the answer to one request.

    `prefix` is the raw path up to and with `/proxy`, without the slash behind it; empty where the application
    has an origin of its own, and then URLs stay as they are.  `hosts` are the authorities (lower case;
    without a port, the scheme's) that mean the backend itself: its URLs lose scheme and host.  `host`, as the
    client wrote it (lower case), means it too, but URLs keep it, as behind kube-apiserver.  `request_path` is
    the path at the backend, empty where the client left out even the slash; None in a page whose base is
    elsewhere, so that its references are too.  `secure`: the client came over TLS.  `document`: the URLs are
    of a page, whose links to other proxied applications are what they say.
    """

    prefix: bytes
    hosts: frozenset[bytes]
    request_path: bytes | None
    secure: bool
    host: bytes = b""
    document: bool = False


REFUSED_SCHEMES = frozenset((b"javascript", b"data", b"vbscript"))
API = b"/api/v1/"
_PROXIED = re.compile(rb"%b(?:namespaces/[^/?#]++/(?:pods|services)|nodes)/[^/?#]++/proxy(?![^/?#])" % API)
# An application that is unaware of TLS in front of it: its own host with http is the client's with https.
_SECURED = {b"http": b"https", b"ws": b"wss"}
_INSECURE = re.compile(rb"(?:http|ws):", re.IGNORECASE)
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443", b"ws": b"80", b"wss": b"443"}
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_TAIL = re.compile(rb"[?#]")
_SCHEME = re.compile(rb"([a-zA-Z][a-zA-Z0-9+.\-]*+):")
# What needs a closer look than "a path to put behind the prefix": dots, escaped dots and slashes,
# backslashes.
_ODD = re.compile(rb"[\x00-\x1f\x7f\\]|/[./]|%2[eEfF]|%5[cC]|\s\Z")
_HIDDEN_SLASH = re.compile(rb"%2f|%5c")
_AUTHORITY = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:\[\]\-]+")
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]*+\]|[^:\[\]]++)(?::([0-9]*+))?")
_NUMERIC = re.compile(rb"(?:[0-9]++|0[xX][0-9a-fA-F]*+)")
_IPV4 = re.compile(rb"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_DOT = frozenset((b".", b"%2e"))
_DOT_DOT = frozenset((b"..", b".%2e", b"%2e.", b"%2e%2e"))  # so does the WHATWG URL standard read them


def rewrite_url(mount: Mount, value: bytes) -> bytes | None:
    """The URL for the client; None where the client must not have it.

    Query and fragment stay as they came.
    """
    if value[:1] == b"/" and mount.request_path is not None and _ODD.search(value) is None:
        there = is_placed if mount.document else is_under
        return value if there(mount.prefix, value) else mount.prefix + value
    value = value.strip(b" \t")
    if _CONTROL.search(value):
        return None  # a browser drops tabs and newlines, and then reads on
    head, tail = split_tail(value)
    if _is_relative(head):
        return _rewrite_relative(mount, value, head, tail)
    origin, path = _origin(mount, head)
    if path is None:
        return None
    if origin is None:
        return value
    if not mount.prefix:
        return origin + path + tail if origin and mount.secure and _INSECURE.match(head) else value
    placed = place(mount, path)
    return None if placed is None else origin + placed + tail


def place(mount: Mount, path: bytes) -> bytes | None:
    """An absolute path under the prefix, without dot segments; what would climb out stops at the root.

    None: it cannot be judged.
    """
    if is_under(mount.prefix, path):
        path = path[len(mount.prefix) :]
    elif mount.document and path.startswith(API) and (other := _resolve(path)) and _PROXIED.match(other[0]):
        return other[0]
    resolved = _resolve(path)
    return None if resolved is None else mount.prefix + resolved[0]


def with_base(mount: Mount, base: bytes) -> Mount:
    """The mount for what follows `<base href>` in a page."""
    head, _ = split_tail(base)
    if _is_relative(head):
        path: bytes | None = (
            (mount.request_path or b"/").rpartition(b"/")[0] + b"/" + head if head else mount.request_path
        )
        own = mount.request_path is not None
    else:
        origin, path = _origin(mount, head)
        own = origin is not None
    if not own or path is None or b"\\" in path or _CONTROL.search(base):
        return replace(mount, request_path=None)
    resolved = _resolve(path[len(mount.prefix) :] if is_under(mount.prefix, path) else path)
    return replace(mount, request_path=resolved and resolved[0])


def depth(request_path: bytes) -> int:
    """How many segments a reference may climb from there; -1 where even one that does not climb is to be
    looked at.
    """
    if not request_path or b"/." in request_path or b"/%2" in request_path:
        return -1
    return request_path.count(b"/") - 1


def split_tail(value: bytes) -> tuple[bytes, bytes]:
    """What comes before the query or fragment, and these."""
    found = _TAIL.search(value)
    return (value, b"") if found is None else (value[: found.start()], value[found.start() :])


def _rewrite_relative(mount: Mount, value: bytes, head: bytes, tail: bytes) -> bytes | None:
    """As it came, but where it climbs out: there a backend of its own would have stopped at its root."""
    if b"\\" in head:
        return None
    if not head or not mount.prefix or mount.request_path is None:
        return value
    if b"." not in head and b"%" not in head and depth(mount.request_path) >= 0:
        return value
    resolved = _resolve(mount.request_path.rpartition(b"/")[0] + b"/" + head)
    if resolved is None:
        return None
    path, climbed = resolved
    return mount.prefix + path + tail if climbed or not mount.request_path else value


def _is_relative(head: bytes) -> bool:
    return head[:1] not in (b"/", b"\\") and _SCHEME.match(head) is None


def is_under(prefix: bytes, path: bytes) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/", b"?", b"#")


def is_placed(prefix: bytes, path: bytes) -> bool:
    """Whether a link in a page needs no prefix: the application's own is there, or that of another one."""
    return is_under(prefix, path) or _PROXIED.match(path) is not None


def _origin(mount: Mount, head: bytes) -> tuple[bytes | None, bytes | None]:
    """What to write before the path, and the path at the backend; None for an origin elsewhere, and for no
    judgement.

    A reference that is a path only has the origin b"".
    """
    if b"\\" in head:
        return None, None  # to a browser it is a slash: `/\\host` is another host
    match = _SCHEME.match(head)
    scheme = match[1].lower() if match else (b"https" if mount.secure else b"http")
    if scheme in REFUSED_SCHEMES:
        return None, None
    if scheme not in _DEFAULT_PORTS:
        return None, head
    start = match.end() if match else 0
    if not match and head[1:2] != b"/":
        return (None if mount.request_path is None else b""), head
    if head[start : start + 2] != b"//" or head[start + 2 : start + 3] in (b"", b"/"):
        return None, None  # `http:/x` and `///x`: a host to some, a path to others
    authority, slash, path = head[start + 2 :].partition(b"/")
    named = _names(scheme, authority)
    if named is None:
        return None, None
    if named & mount.hosts:
        return b"", slash + path or b"/"
    secured = _SECURED.get(scheme) if mount.secure else None
    if secured and mount.host in named | (_names(secured, authority) or frozenset()):
        return secured + b"://" + mount.host, slash + path or b"/"
    if mount.host in named:
        return head[:start] + b"//" + authority.rpartition(b"@")[2], slash + path or b"/"
    return None, head


def _names(scheme: bytes, authority: bytes) -> frozenset[bytes] | None:
    """The ways to write this authority's host and port, lower case; empty for what no browser takes, None for
    no judgement.
    """
    authority = authority.rpartition(b"@")[2]
    if not _AUTHORITY.fullmatch(authority):
        return None  # escaped or Unicode letters, which browsers decode to another host
    match = _HOST.fullmatch(authority)
    if match is None:
        return frozenset()
    host = match[1].lower()
    if host[:1] == b"[":
        try:
            host = b"[%b]" % str(IPv6Address(host[1:-1].decode())).encode()
        except AddressValueError:
            return frozenset()
    else:
        host = host.removesuffix(b".")
        if _NUMERIC.fullmatch(host.rpartition(b".")[2]) and not _IPV4.fullmatch(host):
            return None  # 127.1, 0x7f000001, 2130706433: addresses to a browser
    port = (match[2] or b"").lstrip(b"0")
    if port in (b"", _DEFAULT_PORTS[scheme]):
        return frozenset((host, host + b":" + _DEFAULT_PORTS[scheme]))
    return frozenset((host + b":" + port,))


def _resolve(path: bytes) -> tuple[bytes, bool] | None:
    """The path without dot segments, and whether it tried to climb above the root (RFC 3986 5.2.4, as
    browsers read it).

    None where an escaped slash hides a dot segment: readers differ on whether it counts.
    """
    if b"." not in path and b"%" not in path:
        return path, False
    kept: list[bytes] = []
    climbed = False
    segments = path.split(b"/")[1:]
    for index, segment in enumerate(segments):
        word = segment.lower() if len(segment) < 7 else b""
        if word in _DOT_DOT:
            if kept:
                kept.pop()
            else:
                climbed = True
        elif word not in _DOT:
            if b"%" in segment and not _DOT_DOT.isdisjoint(_HIDDEN_SLASH.split(segment.lower())):
                return None
            kept.append(segment)
            continue
        if index == len(segments) - 1:
            kept.append(b"")
    return b"/" + b"/".join(kept) if path else path, climbed
