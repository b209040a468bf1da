"""· Options of authentication, by the names of kube-apiserver's flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.kube.values import quoted
from bastion.settings.issuer import SIGNING_ALGORITHMS
from bastion.settings.kinds import BOOLEAN, DURATION, NAMES, PATH, Kind, Several, named, several
from bastion.settings.option import option


def claim(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise ValueError(f"{quoted(text)} is not claim=value")
    return name, value


def algorithm(text: str) -> str:
    if text not in SIGNING_ALGORITHMS:
        raise ValueError(f"{quoted(text)} is not one of {', '.join(SIGNING_ALGORITHMS)}")
    return text


ALGORITHMS = several(Kind("NAME", algorithm, words=SIGNING_ALGORITHMS), needed=True)
CLAIMS: Several = several(Kind("CLAIM=VALUE", claim, show="=".join), commas=False)


@dataclass(frozen=True, slots=True)
class AuthenticationOptions:
    """Which credentials are accepted besides bearer tokens that the API server knows."""

    anonymous: bool = option(
        "anonymous-auth", BOOLEAN, False, "requests without credentials are system:anonymous, not refused"
    )
    audiences: tuple[str, ...] = option(
        "api-audiences", NAMES, (), "a token must be for one of these (TokenReview)"
    )
    client_ca_file: Path | None = option(
        "client-ca-file",
        PATH,
        None,
        "signs clients' certificates: the common name is the user, organizations are groups",
    )
    config_file: Path | None = option(
        "authentication-config",
        PATH,
        None,
        "an AuthenticationConfiguration with any number of OpenID Connect issuers, instead of one by options",
    )


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """Front proxies, and the header fields in which they name the user."""

    client_ca_file: Path | None = option(
        "requestheader-client-ca-file", PATH, None, "signs the certificates of front proxies"
    )
    allowed_names: tuple[str, ...] = option(
        "requestheader-allowed-names", NAMES, (), "common names of such certificates; without it any"
    )
    username_headers: tuple[str, ...] = option(
        "requestheader-username-headers", NAMES, (), "header fields with the user, such as X-Remote-User"
    )
    group_headers: tuple[str, ...] = option(
        "requestheader-group-headers", NAMES, (), "header fields with groups, such as X-Remote-Group"
    )
    uid_headers: tuple[str, ...] = option(
        "requestheader-uid-headers", NAMES, (), "header fields with the user's UID, such as X-Remote-Uid"
    )
    extra_headers_prefix: tuple[str, ...] = option(
        "requestheader-extra-headers-prefix",
        NAMES,
        (),
        "the beginning of header fields with extras, such as X-Remote-Extra-",
    )


@dataclass(frozen=True, slots=True)
class Oidc:
    """One OpenID Connect issuer."""

    issuer_url: str = option(
        "oidc-issuer-url", named("URL"), "", "an OpenID Connect issuer whose tokens are accepted, https"
    )
    client_id: str = option("oidc-client-id", named("ID"), "", "the audience its tokens must be for")
    username_claim: str = option(
        "oidc-username-claim", named("CLAIM"), "sub", "the claim that is the user's name"
    )
    username_prefix: str = option(
        "oidc-username-prefix", named("PREFIX"), "", "put before the user's name; mandatory"
    )
    groups_claim: str = option(
        "oidc-groups-claim", named("CLAIM"), "", "the claim that lists groups; without it none"
    )
    groups_prefix: str = option("oidc-groups-prefix", named("PREFIX"), "", "put before each group")
    required_claim: tuple[tuple[str, str], ...] = option(
        "oidc-required-claim", CLAIMS, (), "a claim that a token must have as well"
    )
    ca_file: Path | None = option(
        "oidc-ca-file", PATH, None, "signs the issuer's certificate; without it the system's authorities"
    )
    signing_algs: tuple[str, ...] = option(
        "oidc-signing-algs", ALGORITHMS, ("RS256",), "the algorithms its tokens may be signed with"
    )
    display_name: str = option(
        "oidc-display-name", named("NAME"), "", "people sign in at the issuer: its name on the button"
    )
    client_secret_file: Path | None = option(
        "oidc-client-secret-file",
        PATH,
        None,
        "the client's secret for signing in; without it a public client",
    )
    scopes: tuple[str, ...] = option(
        "oidc-scopes", NAMES, (), "scopes to sign in with; without it openid, profile and email"
    )
    clock_skew: float = option(
        "oidc-clock-skew", DURATION, 30.0, "how far the clocks of issuers may differ, at most 5m"
    )
