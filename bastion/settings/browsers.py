"""· What was asked for about browsers: signing in, and host names for applications."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bastion.kube.hostname import RESOURCES, is_dns_name

_PUBLIC_URL = re.compile(r"https://([a-z0-9.-]+)(?::([0-9]{1,5}))?/?")


@dataclass(frozen=True, slots=True)
class Browsers:
    """`sign_in`: people may.

    `key_file`: what cookies are sealed with; `key` instead where a supervisor gave it; else one is made.

    `used`: a folder in which workers tell each other what is good only once; None for a process that is
    alone. With a `host_suffix` applications have host names of their own under it, and `public_url` is where
    the bastion is reached.
    """

    sign_in: bool = True
    key_file: Path | None = None
    host_suffix: str = ""
    public_url: str = ""
    key: bytes = b""
    used: Path | None = None

    def names(self) -> tuple[str, ...]:
        """Those that a certificate made here has beside the address."""
        host = urlsplit(self.public_url).hostname
        wildcards = (f"*.{kind}.{self.host_suffix}" for kind in RESOURCES) if self.host_suffix else ()
        return (*((host,) if host else ()), *wildcards)


def of_flags(flags: argparse.Namespace) -> Browsers:
    return Browsers(flags.sign_in, flags.session_key_file, flags.proxy_host_suffix, flags.public_url)


def contradictions(flags: argparse.Namespace) -> list[str]:
    if not flags.proxy_host_suffix:
        return []
    if not flags.public_url:
        return ["--proxy-host-suffix needs --public-url: where to sign in for the applications under it"]
    if (urlsplit(flags.public_url).hostname or "").endswith("." + flags.proxy_host_suffix):
        return ["--public-url may not be under --proxy-host-suffix: those names are the applications'"]
    return []


# --- what a flag's value may be; each raises ArgumentTypeError


def host_suffix(text: str) -> str:
    """Empty for none."""
    name = text.lower().strip(".")
    if text and not is_dns_name(name):
        raise argparse.ArgumentTypeError(f"{text!r} is no domain such as proxy.example.test")
    return name


def public_url(text: str) -> str:
    """Scheme and authority, as browsers write an origin; empty for none."""
    if not text:
        return ""
    match = _PUBLIC_URL.fullmatch(text.lower())
    if match is None or not is_dns_name(match[1]) or int(match[2] or 443) > 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no URL such as https://bastion.example.test:8443, without a path"
        )
    return (
        f"https://{match[1]}:{int(match[2])}" if match[2] and int(match[2]) != 443 else f"https://{match[1]}"
    )
