"""· Through which proxy is an API server reached?

What the kubeconfig names, else what the environment says; pure.

As client-go has it (golang.org/x/net/http/httpproxy): `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` in capitals
before the same in small letters, a proxy without a scheme is an http one, and what is on this machine is
reached directly.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "socks5", "socks5h")
DEFAULT_PORTS = {"http": 80, "https": 443}

Exception_ = Callable[[str, int], bool]  # (host, port) -> whether it is reached without a proxy


@dataclass(frozen=True, slots=True)
class Proxies:
    """`named` is for all servers; `no_proxy` counts for the other two only, as the environment has it."""

    named: str = ""
    https: str = ""
    http: str = ""
    no_proxy: str = ""

    def of(self, url: str) -> str:
        """The proxy's URL for an API server's, empty where it is reached directly."""
        if self.named:
            return self.named
        parts = urlsplit(url)
        proxy = self.https if parts.scheme == "https" else self.http
        host, port = (parts.hostname or "").lower(), parts.port or DEFAULT_PORTS[parts.scheme]
        return (
            ""
            if not proxy
            or _is_here(host)
            or any(excepts(host, port) for excepts in _exceptions(self.no_proxy))
            else proxy
        )

    @property
    def over_tls(self) -> bool:
        return any(proxy.startswith("https:") for proxy in (self.named, self.https, self.http))


def from_environment(environ: Mapping[str, str]) -> Proxies:
    """Raises ValueError that names the variable."""
    said = {
        name: environ.get(name) or environ.get(name.lower(), "")
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
    }
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        if said[name]:
            said[name] = said[name] if "://" in said[name] else f"http://{said[name]}"
            if mistake := wrong(said[name]):
                raise ValueError(f"{name}: {mistake}")
    return Proxies("", said["HTTPS_PROXY"], said["HTTP_PROXY"], said["NO_PROXY"])


def wrong(url: str) -> str:
    """What is wrong with a proxy's URL, without what is secret in it; empty where nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in SCHEMES:
        return f"a proxy is spoken to by http, https or socks5, not {parts.scheme!r}"
    return "" if host else "names no host"


def _is_here(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _exceptions(text: str) -> Iterator[Exception_]:
    """Those that make sense; the others are passed over, as everywhere."""
    for entry in (part.strip().lower() for part in text.split(",")):
        if entry == "*":
            yield lambda host, port: True
        elif "/" in entry:
            try:
                yield _inside(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                pass
        elif entry:
            name, port = _host_and_port(entry)
            if name:
                yield (
                    _equal(address, port) if (address := _address(name)) is not None else _domain(name, port)
                )


def _inside(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Exception_:
    return lambda host, port: (address := _address(host)) is not None and address in network


def _equal(wanted: ipaddress.IPv4Address | ipaddress.IPv6Address, only: int | None) -> Exception_:
    return lambda host, port: _address(host) == wanted and only in (None, port)


def _domain(name: str, only: int | None) -> Exception_:
    """`.example.org` and `*.example.org` are the names below, `example.org` is itself, too."""
    name = name.removeprefix("*")
    suffix, itself = (name, None) if name.startswith(".") else (f".{name}", name)
    return lambda host, port: (host.endswith(suffix) or host == itself) and only in (None, port)


def _host_and_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdigit() else None
    host, _, port = entry.partition(":")
    return (host, int(port)) if port.isdigit() else (entry, None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Go holds ::ffff:10.0.0.1 and 10.0.0.1 for the same."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
