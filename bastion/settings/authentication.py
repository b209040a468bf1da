"""· How may clients prove who they are?

Flags of kube-apiserver's names in, one section or every mistake out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from bastion.settings.issuer import (
    CLOCK_SKEW,
    SIGNING_ALGORITHMS,
    Issuer,
    authority_text,
    wrong_prefix,
    wrong_url,
)

MOST_SKEW = 300.0  # past this an expired token would live on


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """Names of headers, most preferred first; `allowed_names` empty for every certificate of the
    authority.
    """

    authority: Path
    usernames: tuple[str, ...]
    groups: tuple[str, ...] = ()
    uids: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()
    allowed_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Authentication:
    """`client_authority` signs users' certificates.

    `audiences`: those of which a token must have one (TokenReview).

    `issuers_file` describes the issuers, or `issuer_authority` signs the only one's certificate: as read at
    the start. `clock_skew`: seconds by which their clocks may differ from ours.
    """

    client_authority: Path | None = None
    front_proxy: FrontProxy | None = None
    issuers: tuple[Issuer, ...] = ()
    audiences: tuple[str, ...] = ()
    issuers_file: Path | None = None
    issuer_authority: Path | None = None
    clock_skew: float = CLOCK_SKEW

    @property
    def authorities(self) -> tuple[Path, ...]:
        """Whose certificates clients may show."""
        front_proxy = self.front_proxy.authority if self.front_proxy is not None else None
        return tuple(path for path in (self.client_authority, front_proxy) if path is not None)


def issuers_of(settings: Authentication) -> tuple[Issuer, ...]:
    """Those of the settings, as their files are now.  Raises OSError; ValueError with every mistake."""
    if settings.issuers_file is not None:
        from bastion.settings.issuers import read_configuration  # only here: it takes YAML

        issuers, mistakes = read_configuration(settings.issuers_file.read_text())
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return issuers
    if settings.issuer_authority is not None:
        authority = authority_text(settings.issuer_authority)
        return tuple(replace(issuer, certificate_authority=authority) for issuer in settings.issuers)
    return settings.issuers


def of_flags(flags: argparse.Namespace) -> tuple[Authentication, list[str]]:
    """The section, and what is wrong with it; files that are not there are somebody else's mistake."""
    mistakes: list[str] = []
    front_proxy = _front_proxy(flags, mistakes)
    issuers = _issuers(flags, mistakes)
    if flags.api_audiences and flags.manifests:
        mistakes.append(
            "--api-audiences means nothing with --manifests: the embedded API knows no audiences, and no"
            " token would be for one"
        )
    if flags.oidc_clock_skew > MOST_SKEW:
        mistakes.append(
            f"--oidc-clock-skew: more than {MOST_SKEW:g}s: tokens would be good for so long after their end"
        )
    file, authority = (flags.authentication_config, flags.oidc_ca_file) if issuers else (None, None)
    audiences = tuple(flags.api_audiences)
    return Authentication(
        flags.client_ca_file, front_proxy, issuers, audiences, file, authority, flags.oidc_clock_skew
    ), mistakes


# --- flags

# Every request has some of these, and backends need them: a user's name in one would reach them all.
ORDINARY = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "origin",
        "referer",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ]
)


def _front_proxy(flags: argparse.Namespace, mistakes: list[str]) -> FrontProxy | None:
    kinds = ("username_headers", "group_headers", "uid_headers", "extra_headers_prefix", "allowed_names")
    if flags.requestheader_client_ca_file is None:
        for kind in kinds:
            if getattr(flags, f"requestheader_{kind}"):
                mistakes.append(f"{_flag(kind)} means nothing without --requestheader-client-ca-file")
        return None
    if not flags.requestheader_username_headers:
        mistakes.append(
            "--requestheader-client-ca-file needs --requestheader-username-headers: which headers name the"
            " user?"
        )
    for kind in kinds[:4]:
        for name in getattr(flags, f"requestheader_{kind}"):
            taken = kind == "extra_headers_prefix" and any(
                ordinary.startswith(name.lower()) for ordinary in ORDINARY
            )
            if not _is_header(name) or name.lower() in ORDINARY or taken:
                mistakes.append(f"{_flag(kind)}: {name!r} is no header that a front proxy can name a user in")
    return FrontProxy(
        flags.requestheader_client_ca_file,
        tuple(flags.requestheader_username_headers),
        tuple(flags.requestheader_group_headers),
        tuple(flags.requestheader_uid_headers),
        tuple(flags.requestheader_extra_headers_prefix),
        frozenset(flags.requestheader_allowed_names),
    )


def named_by_front_proxies(flags: argparse.Namespace) -> tuple[list[bytes], list[bytes]]:
    """Headers, and beginnings of headers; lower-case."""
    names = [
        *flags.requestheader_username_headers,
        *flags.requestheader_group_headers,
        *flags.requestheader_uid_headers,
    ]
    return [name.lower().encode() for name in names], [
        name.lower().encode() for name in flags.requestheader_extra_headers_prefix
    ]


def _flag(kind: str) -> str:
    return f"--requestheader-{kind.replace('_', '-')}"


def _is_header(name: str) -> bool:
    """Not with `_`: some read X_User and X-User as the same."""
    return name.isascii() and name.replace("-", "").isalnum()


def _issuers(flags: argparse.Namespace, mistakes: list[str]) -> tuple[Issuer, ...]:
    by_flags = (
        flags.oidc_issuer_url or flags.oidc_client_id or flags.oidc_username_prefix or flags.oidc_groups_claim
    )
    by_flags = by_flags or flags.oidc_groups_prefix or flags.oidc_required_claim or flags.oidc_ca_file
    if flags.authentication_config is not None:
        if by_flags:
            mistakes.append(
                "--authentication-config and the --oidc flags exclude each other: an issuer is described in"
                " one place"
            )
        if not flags.authentication_config.exists():
            return ()
        from bastion.settings.issuers import read_configuration  # only here: it takes YAML

        try:
            issuers, lines = read_configuration(flags.authentication_config.read_text())
        except (OSError, ValueError) as error:
            issuers, lines = (), [" ".join(str(error).split())]
        mistakes += [f"--authentication-config: {flags.authentication_config}: {line}" for line in lines]
        return issuers
    if not by_flags:
        return ()
    for flag, why in (
        ("issuer-url", "who?"),
        ("client-id", "for whom?"),
        ("username-prefix", "else a name could be anybody's"),
    ):
        if not getattr(flags, f"oidc_{flag.replace('-', '_')}"):
            mistakes.append(f"the --oidc flags need --oidc-{flag}: {why}")
    if flags.oidc_issuer_url and (wrong := wrong_url(flags.oidc_issuer_url)):
        mistakes.append(f"--oidc-issuer-url: {wrong}")
    for kind in ("username", "groups"):
        if wrong := wrong_prefix(getattr(flags, f"oidc_{kind}_prefix"), kind):
            mistakes.append(f"--oidc-{kind}-prefix: {wrong}")
    return (
        Issuer(
            flags.oidc_issuer_url,
            (flags.oidc_client_id,),
            flags.oidc_username_prefix,
            flags.oidc_username_claim,
            flags.oidc_groups_claim,
            flags.oidc_groups_prefix,
            tuple(flags.oidc_required_claim),
            _text(flags.oidc_ca_file, mistakes),
            frozenset(flags.oidc_signing_algs or ("RS256",)),
        ),
    )


def _text(file: Path | None, mistakes: list[str]) -> str:
    if file is None or not file.exists():
        return ""
    try:
        return authority_text(file)
    except (OSError, ValueError):
        mistakes.append(f"--oidc-ca-file: {file}: cannot be read as text")
        return ""


# --- what a flag's value may be; each raises ArgumentTypeError


def words(text: str) -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in text.split(",") if word.strip()]


def algorithms(text: str) -> list[str]:
    named = words(text)
    if not named or not set(named) <= set(SIGNING_ALGORITHMS):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of {', '.join(SIGNING_ALGORITHMS)}")
    return named


def claim(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is no claim=value")
    return name, value
