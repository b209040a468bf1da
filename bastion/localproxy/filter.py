"""· May this request pass?

`--accept-hosts`, `--accept-paths`, `--reject-paths`, `--reject-methods`, and where the page comes from that
sent it.

kubectl looks at host, path and method alone, so that any web page may send simple requests and open
WebSockets to the proxy; here Origin and Sec-Fetch-Site count as well, for reads, writes, upgrades and static
files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlsplit

from bastion.http.fields import Field
from bastion.localproxy.options import Options
from bastion.localproxy.patterns import Patterns
from bastion.localproxy.spelling import decoded, hazard, spellings

KNOWN = 4096  # decisions kept of each kind

Reason = str  # why not; empty where it may pass


class Filter:
    """`own_hosts` tells those that this proxy serves beside --accept-hosts: `NAME.localhost`."""

    def __init__(self, options: Options, own_hosts: Callable[[str], bool]) -> None:
        """Raises ValueError that names the flag."""
        self._off = options.disable_filter
        self._accept_hosts = Patterns("accept-hosts", options.accept_hosts)
        self._accept_paths = Patterns("accept-paths", options.accept_paths)
        self._reject_paths = Patterns("reject-paths", options.reject_paths)
        self._reject_methods = Patterns("reject-methods", options.reject_methods)
        self._own_hosts = own_hosts
        self._of_host = lru_cache(KNOWN)(self._judge_host)
        self._of_path = lru_cache(KNOWN)(self._judge_path)

    def sender(self, host: bytes, fields: list[Field]) -> Reason:
        """For everything that is served."""
        return "" if self._off else self._of_host(host) or self._judge_page(host, fields)

    def request(self, method: str, path: bytes) -> Reason:
        """For what goes to the API server: `path` as it came, without prefix and query."""
        return "" if self._off else self._of_path(path) or self._judge_method(method)

    # --- who sends it

    def _judge_host(self, host: bytes) -> Reason:
        if self._accepts_host(host.decode("latin-1")):
            return ""
        texts = ",".join(self._accept_hosts.texts)
        return (
            f"the host {_shown(host)} matches none of --accept-hosts={texts}; use http://localhost or"
            " http://127.0.0.1, or add a pattern to that flag"
        )

    def _accepts_host(self, host: str) -> bool:
        return self._is_trusted(host) or self._own_hosts(_names(host)[0].lower())

    def _is_trusted(self, host: str) -> bool:
        """By the name without its port; what cannot be split is taken whole, as by Go's SplitHostPort."""
        return any(self._accept_hosts.first(name) is not None for name in _names(host))

    def _judge_page(self, host: bytes, fields: list[Field]) -> Reason:
        site = origin = None
        navigates = False
        for lower, _, value in fields:
            if lower == b"origin":
                origin = value if origin is None or origin == value else b"null"
            elif lower == b"sec-fetch-site":
                site = value.lower()
            elif lower == b"sec-fetch-mode":
                navigates = value.lower() == b"navigate"
        if origin is not None:
            return self._judge_origin(origin.decode("latin-1"), host.decode("latin-1"))
        # an application on `x.svc.NAME.localhost` is of one site with the API on `NAME.localhost`
        near = site == b"same-site" and not navigates and not self._is_trusted(host.decode("latin-1"))
        if near or site == b"cross-site":
            return (
                "a page of another site sent this request; open the address yourself, or add the host of that"
                " site to --accept-hosts"
            )
        return ""

    def _judge_origin(self, origin: str, host: str) -> Reason:
        """Hosts of our own making are applications': a page there is at home on its own host alone."""
        try:
            netloc = urlsplit(origin).netloc
        except ValueError:
            netloc = ""
        if netloc and (self._is_trusted(netloc) or netloc.lower() == host.lower()):
            return ""
        shown = _shown(origin.encode())
        return f"a page of {shown} sent this request, and its host matches none of --accept-hosts"

    # --- what it asks for

    def _judge_path(self, path: bytes) -> Reason:
        if danger := hazard(path):
            return f"{danger}; such paths pass with --disable-filter alone"
        said = spellings(decoded(path))
        for spelling in said:
            if (pattern := self._reject_paths.first(spelling)) is not None:
                return _rejected("path", self._reject_paths, pattern)
        if any(self._accept_paths.first(spelling) is None for spelling in said):
            texts = ",".join(self._accept_paths.texts)
            return f"the path matches none of --accept-paths={texts}; to allow it add a pattern to that flag"
        return ""

    def _judge_method(self, method: str) -> Reason:
        pattern = self._reject_methods.first(method)
        return "" if pattern is None else _rejected("method", self._reject_methods, pattern)


def _rejected(what: str, patterns: Patterns, pattern: str) -> Reason:
    flag, rest = patterns.flag, patterns.without(pattern)
    return f"the {what} matches the pattern {pattern} of --{flag}; to allow it use --{flag}='{rest}'"


def _names(host: str) -> tuple[str, ...]:
    """What a host is matched as.

    kubectl strips the brackets of an IPv6 address with its port, so that its own default pattern never
    matches what browsers send; both forms are tried here.
    """
    if host.startswith("["):
        literal, bracket, rest = host[1:].partition("]")
        if bracket and rest[:1] == ":":
            return (literal, f"[{literal}]")
        return (host,)
    name, colon, port = host.partition(":")
    return (name,) if colon and ":" not in port else (host,)


def _shown(text: bytes) -> str:
    """On one line, and not all of a long one."""
    return repr(text[:100].decode("latin-1"))
