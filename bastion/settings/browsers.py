"""· Options for browsers: signing in, and host names for applications."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bastion.kube.hostname import RESOURCES, is_dns_name
from bastion.kube.names import is_label, is_subdomain
from bastion.kube.values import quoted
from bastion.settings.kinds import BOOLEAN, PATH, Kind
from bastion.settings.option import option

_PUBLIC_URL = re.compile(r"https://([a-z0-9.-]+)(?::([0-9]{1,5}))?/?")


def host_suffix(text: str) -> str:
    """Empty for none."""
    name = text.lower().strip(".")
    if text and not is_dns_name(name):
        raise ValueError(f"{quoted(text)} is not a domain such as proxy.example.test")
    return name


def secret_name(text: str) -> str:
    """Empty for none."""
    namespace, _, name = text.partition("/")
    if text and not (is_label(namespace) and is_subdomain(name)):
        raise ValueError(f"{quoted(text)} is not the namespace and name of a Secret, with a slash between")
    return text


def public_url(text: str) -> str:
    """Scheme and authority, as browsers write an origin; empty for none."""
    if not text:
        return ""
    match = _PUBLIC_URL.fullmatch(text.lower())
    if match is None or not is_dns_name(match[1]) or int(match[2] or 443) > 65535:
        raise ValueError(
            f"{quoted(text)} is not a URL such as https://bastion.example.test:8443, without a path"
        )
    port = int(match[2] or 443)
    return f"https://{match[1]}:{port}" if port != 443 else f"https://{match[1]}"


@dataclass(frozen=True, slots=True)
class Browsers:
    """`key_file`: what cookies are sealed with; `key` instead where a supervisor gave it; else one is made.

    `used`: a folder in which workers tell each other which codes were used; None for a single process; and
    `ended` which sessions were ended.
    """

    sign_in: bool = option(
        "sign-in", BOOLEAN, True, "serve /login, accept its cookie, and send visitors of pages there"
    )
    key_file: Path | None = option(
        "session-key-file",
        PATH,
        None,
        "32 bytes or more to seal those cookies with, the same for all replicas; without it one is made",
    )
    host_suffix: str = option(
        "proxy-host-suffix",
        Kind("DOMAIN", host_suffix),
        "",
        "a host name per application: [https--]<name>[--<port>]--<namespace>.svc.DOMAIN (or .pod.)",
    )
    public_url: str = option(
        "public-url", Kind("URL", public_url), "", "where the bastion is reached, to sign in for those"
    )
    rewrite_html: bool = option(
        "rewrite-html",
        BOOLEAN,
        True,
        "put links in HTML under the path prefix (off for one request: X-Bastion-Rewrite: none)",
    )
    sandbox_pages: bool = option(
        "sandbox-pages",
        BOOLEAN,
        True,
        "sandbox pages that no token in a header asked for: all applications share this origin",
    )
    sign_in_config: Path | None = option(
        "sign-in-config",
        PATH,
        None,
        "a SignInConfiguration with the OpenID Connect issuers where people sign in",
    )
    sign_in_token: bool = option(
        "sign-in-token", BOOLEAN, True, "people may also sign in by pasting a token into a form"
    )
    explain_paths: bool = option(
        "explain-paths",
        BOOLEAN,
        True,
        "say once, where applications have no host names, what will not work under a path",
    )
    redirect_paths: bool = option(
        "redirect-paths",
        BOOLEAN,
        False,
        "send a person who opens an application by its path to its host name, where it has one",
    )
    revocations: str = option(
        "sign-in-revocations",
        Kind("NAMESPACE/NAME", secret_name),
        "",
        "a Secret by which replicas hear of sessions that were ended; without it each for itself",
    )
    key: bytes = b""
    used: Path | None = None
    ended: Path | None = None

    def names(self) -> tuple[str, ...]:
        """Those that a certificate made at start has beside the address."""
        host = urlsplit(self.public_url).hostname
        wildcards = (f"*.{kind}.{self.host_suffix}" for kind in RESOURCES) if self.host_suffix else ()
        return (*((host,) if host else ()), *wildcards)
