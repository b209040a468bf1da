"""· Which of the things served here does a URL mean: the API, static files, or a better URL?

The path stays the bytes that came; only a prefix is taken off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bastion.localproxy.options import Options
from bastion.localproxy.spelling import cleaned

_PREFIX = re.compile(r"[^\x00-\x20\x7f{}?#%\\]*")


@dataclass(frozen=True, slots=True)
class Api:
    """`path` begins with a slash."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Static:
    """`path` has no slash at its beginning; empty is the folder itself."""

    path: bytes


@dataclass(frozen=True, slots=True)
class Redirect:
    """Where the client is sent."""

    location: bytes


Route = Api | Static | Redirect | None


class Router:
    def __init__(self, options: Options) -> None:
        """Raises ValueError that names the flag."""
        self._api = _prefix("api-prefix", options.api_prefix)
        self._www = _prefix("www-prefix", options.www_prefix) if options.www else None
        if self._www == self._api:
            raise ValueError("--www-prefix and --api-prefix must differ: each path can mean one of them only")
        # kubectl keeps every prefix that begins with "/api"; that is right for the API's own path alone
        self._cut = 0 if self._api.startswith(b"/api/") else len(self._api) - 1

    def route(self, path: bytes) -> Route:
        """None where nothing is served under this path."""
        clean = cleaned(path)
        if clean is not None:
            return Redirect(clean)
        api, www = self._api, self._www
        if path + b"/" in (api, www):
            return Redirect(path + b"/")
        if www is not None and path.startswith(www) and (len(www) > len(api) or not path.startswith(api)):
            return Static(path[len(www) :])
        return Api(path[self._cut :]) if path.startswith(api) else None


def _prefix(flag: str, text: str) -> bytes:
    if _PREFIX.fullmatch(text) is None or not text.isascii():
        raise ValueError(f"--{flag}: {text!r} is no path prefix")
    with_slashes = "/" + text.strip("/") + "/" if text.strip("/") else "/"
    return with_slashes.encode()
