"""· Which credentials are accepted?  Options in, what the authenticators are made of out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bastion.settings.credentials import Oidc, RequestHeader
from bastion.settings.issuer import Issuer, authority_text, wrong_prefix, wrong_url
from bastion.settings.mistakes import Mistakes
from bastion.settings.options import Options

MOST_SKEW = 300.0  # past this an expired token would live on


@dataclass(frozen=True, slots=True)
class FrontProxy:
    """Names of header fields, most preferred first; `allowed_names` empty for every certificate of the
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
    clock_skew: float = Oidc().clock_skew
    anonymous: bool = False

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


def authentication_of(options: Options, mistakes: Mistakes) -> Authentication:
    """A missing file is reported with all others."""
    given, oidc = options.authentication, options.oidc
    issuers = _issuers(options, mistakes)
    if oidc.clock_skew > MOST_SKEW:
        mistakes.add(
            "{0}: more than {most:g}s: tokens would be good for so long after their end",
            "oidc.clock_skew",
            most=MOST_SKEW,
        )
    return Authentication(
        client_authority=given.client_ca_file,
        front_proxy=_front_proxy(options.request_header, mistakes),
        issuers=issuers,
        audiences=given.audiences,
        issuers_file=given.config_file if issuers else None,
        issuer_authority=oidc.ca_file if issuers else None,
        clock_skew=oidc.clock_skew,
        anonymous=given.anonymous,
    )


# --- front proxies

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
_NAMING = ("username_headers", "group_headers", "uid_headers", "extra_headers_prefix")


def _front_proxy(given: RequestHeader, mistakes: Mistakes) -> FrontProxy | None:
    authority = "request_header.client_ca_file"
    if given.client_ca_file is None:
        for kind in (*_NAMING, "allowed_names"):
            if getattr(given, kind):
                mistakes.add("{0} means nothing without {1}", f"request_header.{kind}", authority)
        return None
    if not given.username_headers:
        mistakes.add(
            "{0} needs {1}: which header fields name the user?", authority, "request_header.username_headers"
        )
    for kind in _NAMING:
        for name in getattr(given, kind):
            if not _may_name_a_user(name, prefix=kind == "extra_headers_prefix"):
                mistakes.add(
                    "{0}: {name!r} is not a header field in which a front proxy can name a user",
                    f"request_header.{kind}",
                    name=name,
                )
    return FrontProxy(
        given.client_ca_file,
        usernames=given.username_headers,
        groups=given.group_headers,
        uids=given.uid_headers,
        extra_prefixes=given.extra_headers_prefix,
        allowed_names=frozenset(given.allowed_names),
    )


def _may_name_a_user(name: str, *, prefix: bool) -> bool:
    """Not with `_`: some read X_User and X-User as the same."""
    lower = name.lower()
    if lower in ORDINARY or (prefix and any(ordinary.startswith(lower) for ordinary in ORDINARY)):
        return False
    return name.isascii() and name.replace("-", "").isalnum()


def fields_of_front_proxies(given: RequestHeader) -> tuple[list[bytes], list[bytes]]:
    """Names of header fields, and beginnings of names; lower-case."""
    names = (*given.username_headers, *given.group_headers, *given.uid_headers)
    return [name.lower().encode() for name in names], [
        name.lower().encode() for name in given.extra_headers_prefix
    ]


# --- issuers

_OF_AN_ISSUER = (
    "display_name",
    "client_secret_file",
    "scopes",
    "issuer_url",
    "client_id",
    "username_prefix",
    "groups_claim",
    "groups_prefix",
    "required_claim",
    "ca_file",
)
_MANDATORY = (
    ("issuer_url", "which issuer?"),
    ("client_id", "which audience?"),
    ("username_prefix", "else a name of the issuer could be that of any user"),
)


def _issuers(options: Options, mistakes: Mistakes) -> tuple[Issuer, ...]:
    given = [name for name in _OF_AN_ISSUER if getattr(options.oidc, name)]
    if options.authentication.config_file is not None:
        if given:
            mistakes.add(
                "{0} and the --oidc flags exclude each other: an issuer is described in one place",
                "authentication.config_file",
            )
        return _of_file(options.authentication.config_file, mistakes)
    return (_of_options(options.oidc, mistakes),) if given else ()


def _of_file(file: Path, mistakes: Mistakes) -> tuple[Issuer, ...]:
    from bastion.settings.issuers import read_configuration  # only here: it takes YAML

    if not file.exists():
        return ()
    try:
        issuers, lines = read_configuration(file.read_text())
    except (OSError, ValueError) as error:
        issuers, lines = (), [" ".join(str(error).split())]
    for line in lines:
        mistakes.add("{0}: {file}: {line}", "authentication.config_file", file=file, line=line)
    return issuers


def _of_options(oidc: Oidc, mistakes: Mistakes) -> Issuer:
    for name, why in _MANDATORY:
        if not getattr(oidc, name):
            mistakes.add("the --oidc flags need {0}: {why}", f"oidc.{name}", why=why)
    if oidc.issuer_url and (wrong := wrong_url(oidc.issuer_url)):
        mistakes.add("{0}: {wrong}", "oidc.issuer_url", wrong=wrong)
    for kind in ("username", "groups"):
        if wrong := wrong_prefix(getattr(oidc, f"{kind}_prefix"), kind):
            mistakes.add("{0}: {wrong}", f"oidc.{kind}_prefix", wrong=wrong)
    return Issuer(
        oidc.issuer_url,
        (oidc.client_id,),
        oidc.username_prefix,
        oidc.username_claim,
        groups_claim=oidc.groups_claim,
        groups_prefix=oidc.groups_prefix,
        required_claims=oidc.required_claim,
        certificate_authority=_text(oidc.ca_file, mistakes),
        algorithms=frozenset(oidc.signing_algs),
    )


def _text(file: Path | None, mistakes: Mistakes) -> str:
    if file is None or not file.exists():
        return ""
    try:
        return authority_text(file)
    except (OSError, ValueError):
        mistakes.add("{0}: {file}: cannot be read as text", "oidc.ca_file", file=file)
        return ""
