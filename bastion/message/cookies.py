"""· Which cookies may an application set, under which name and path, and which cookies does it receive?

Every application under a prefix shares the bastion's origin; the Path is all that keeps their cookies apart
(it is not a security boundary against scripts), and an application neither receives nor sets the bastion's
own cookies. RFC 6265, and 6265bis for name prefixes and cookies without a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bastion.message.mount import Mount, place

# The bastion's own: the session, where to go after signing in, and the ids under which application hosts know
# this browser; and on an application host the session there, and the id of this browser.
SESSION = b"__Host-bastion_session"
SIGNING_IN = b"__Host-bastion_signin"  # sign-ins at issuers that are under way
RETURN = b"__Host-bastion_return"
PAIRS = b"__Host-bastion_pairs"
PATHS = b"__Host-bastion_paths"  # the targets whose pages this browser wants by their path
APPLICATION = b"__Host-bastion_app"
HANDOFF = b"__Host-bastion_handoff"
# The endpoint that a client stays with.  `__Host-` would need the path `/`, which all applications share.
ENDPOINT = b"bastion_endpoint"

# Browsers drop cookies of more than 4096 bytes, name and attributes included; proxies in front give up at
# heads of 8 KiB.
MAX_PIECE, MOST_PIECES = 3584, 2
_COUNTS = tuple(b"%d" % count for count in range(2, MOST_PIECES + 1))

_BLANK = b" \t"
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# A request for `/a;Domain=x/b` must not add an attribute; without a Path a browser takes the same default
# itself.
_UNWRITABLE = re.compile(rb"[\x00-\x1f\x7f;]")
# Compared in lower case, as browsers compare name prefixes.
_RESERVED = (b"__host-bastion", b"__secure-bastion", b"bastion_")
_HOST_ONLY = b"__host-"
# A `__Host-` cookie must have the path `/`, which is not the application's; `__Secure-` keeps what else it
# promises.
_RENAMED = b"__Secure-bastion-"


def place_cookie(mount: Mount, value: bytes) -> bytes | None:
    """A Set-Cookie value for the client: its Path under the prefix, no Domain, Secure over TLS.

    None: the field is dropped.
    """
    if _CONTROL.search(value):
        return None
    pair, *attributes = value.split(b";")
    name, equals, content = pair.partition(b"=")
    name = name.strip(_BLANK) if equals else b""
    # A cookie without a name comes back as its bare value, which may read like another's name and value.
    shown = name or (content if equals else pair).strip(_BLANK)
    if shown.lower().startswith(_RESERVED):
        return None
    if mount.prefix and shown.lower().startswith(_HOST_ONLY):
        if not name:
            return None
        pair = b"%b%b=%b" % (_RENAMED, name, content)
    return b";".join([pair, *_placed(mount, attributes)])


def restore_cookies(value: bytes, *, renamed: bool = True) -> bytes | None:
    """The request's Cookie as the application set it, without the bastion's own; None where nothing is left.

    `renamed`: `__Host-` cookies were renamed.  On an application host they are not, and there such a name may
    come from a sibling's script, which can set `__Secure-` cookies for the domain of both.
    """
    if b"bastion" not in value.lower():
        return value
    kept = []
    for part in value.split(b";"):
        name = part.strip(_BLANK)
        if not name.lower().startswith(_RESERVED):
            kept.append(part)
        elif renamed and name.startswith(_RENAMED) and name[len(_RENAMED) :].lower().startswith(_HOST_ONLY):
            kept.append(part.replace(_RENAMED, b"", 1))
    if kept and kept[0] != value[: len(kept[0])]:
        kept[0] = kept[0].lstrip(_BLANK)  # it followed a cookie that was removed
    restored = b";".join(kept)
    return restored if restored.strip(_BLANK + b";") else None


def own_cookie(fields: Iterable[tuple[bytes, bytes, bytes]], name: bytes) -> bytes:
    """The value of one of the bastion's own in a request; empty where there is none, or more than
    one.

    By hand: http.cookies takes seconds for some 60 KiB (CVE-2024-7592), and reads more into a value than
    browsers put there.
    """
    found: list[bytes] = []
    for lower, _, line in fields:
        if lower == b"cookie" and name in line:
            pairs = (part.strip(_BLANK).partition(b"=") for part in line.split(b";"))
            found += [value for key, equals, value in pairs if equals and key == name]
    return found[0] if len(found) == 1 else b""


def own_pieces(fields: Iterable[tuple[bytes, bytes, bytes]], name: bytes) -> bytes:
    """A value of ours that may be in several cookies; empty where one is missing."""
    read = list(fields)
    first = own_cookie(read, name)
    count, dot, piece = first.partition(b".")
    if not dot:
        return first
    if count not in _COUNTS:
        return b""
    pieces = [piece, *(own_cookie(read, b"%b.%d" % (name, at)) for at in range(1, int(count)))]
    return b"".join(pieces) if all(pieces) else b""


def set_pieces(
    fields: Iterable[tuple[bytes, bytes, bytes]], name: bytes, value: bytes, seconds: int
) -> list[bytes]:
    """Set-Cookie values that put `value` into as many cookies as it needs; those of `fields`, the request's,
    that are not needed are deleted.  An empty value deletes all.
    """
    read = list(fields)
    pieces = [value[at : at + MAX_PIECE] for at in range(0, len(value), MAX_PIECE)] or [b""]
    if len(pieces) > 1:
        pieces[0] = b"%d.%b" % (len(pieces), pieces[0])
    set_now = [
        set_own(b"%b.%d" % (name, at) if at else name, piece, seconds) for at, piece in enumerate(pieces)
    ]
    names = (b"%b.%d" % (name, at) for at in range(len(pieces), MOST_PIECES))
    stale = [name for name in names if any(lower == b"cookie" and name in line for lower, _, line in read)]
    return [*set_now, *(set_own(name, b"", 0) for name in stale)]


def set_own(name: bytes, value: bytes, seconds: int) -> bytes:
    """A Set-Cookie value; 0 `seconds` deletes the cookie."""
    return b"%b=%b; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%d" % (name, value, seconds)


def set_endpoint(value: bytes, prefix: bytes) -> bytes:
    """A Set-Cookie value, for as long as the browser is open, and for this application alone."""
    return b"%b=%b; Path=%b; Secure; HttpOnly; SameSite=Lax" % (ENDPOINT, value, prefix or b"/")


def _placed(mount: Mount, attributes: list[bytes]) -> list[bytes]:
    """The attributes with one Path: the last one counts, in the place of the first."""
    kept: list[bytes] = []
    path, at, secure = b"", None, False
    for attribute in attributes:
        key, _, value = attribute.partition(b"=")
        key = key.strip(_BLANK).lower()
        if key == b"domain":
            continue
        if key == b"path" and mount.prefix:
            path, at = value.strip(_BLANK), len(kept) if at is None else at
            continue
        secure = secure or key == b"secure"
        kept.append(attribute)
    placed = _path(mount, path) if mount.prefix else b""
    if placed and not _UNWRITABLE.search(placed):
        kept.insert(len(kept) if at is None else at, b" Path=" + placed)
    if mount.secure and not secure:
        kept.append(b" Secure")
    return kept


def _path(mount: Mount, path: bytes) -> bytes:
    """Under the prefix; without one, the default path of the request (RFC 6265 section 5.1.4)."""
    if path[:1] != b"/":
        path = (mount.request_path or b"/").rpartition(b"/")[0]
    placed = place(mount, path)
    # The application's root is the prefix without a slash: so it covers both `…/proxy` and what is below.
    return mount.prefix if placed is None or placed == mount.prefix + b"/" else placed
