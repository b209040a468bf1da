"""Which request headers may not reach a backend, because a backend would believe them?

The one explicit list: identities and addresses that proxies in front of a backend assert.  A client does not get to
say them (CVE-2025-64484, CVE-2025-54468), and this program tells a backend nothing about who is asking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

DROPPED = frozenset(
    name.encode()
    for name in (
        # credentials for the bastion itself
        "x-bastion-authorization",
        # a wish to the bastion itself
        "x-bastion-rewrite",
        # identity, as front proxies assert it
        "remote-user",
        "x-forwarded-user",
        "x-client-cert",
        "proxy",  # CVE-2016-5385: CGI backends take it for HTTP_PROXY
        # assertion headers of other proxies
        "cf-access-jwt-assertion",
        "teleport-jwt-assertion",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-goog-authenticated-user-id",
        "x-pomerium-jwt-assertion",
        "x-amzn-oidc-data",
        "x-amzn-oidc-identity",
        "x-amzn-oidc-accesstoken",
        "x-ms-client-principal",
        "x-ms-client-principal-id",
        "x-ms-client-principal-name",
        "x-authentik-username",
        "x-authentik-groups",
        "x-token-subject",
        # what the request "really" was: only the request line says so
        "x-original-url",
        "x-original-uri",
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        # addresses
        "x-real-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "fastly-client-ip",
        "forwarded",
    )
)

DROPPED_PREFIXES = (b"x-remote-", b"impersonate-", b"x-forwarded-", b"x-auth-request-", b"x-webauth-", b"ssl-client-", b"x-ssl-")


def asserts_identity(name: bytes) -> bool:
    """Whether a header of this lower-case name is kept from backends.

    Names with `_` are, all of them: CGI and WSGI read `X_Forwarded_User` and `X-Forwarded-User` as the same.
    """
    return name in DROPPED or b"_" in name or name.startswith(DROPPED_PREFIXES)


def withholding(names: Iterable[bytes], prefixes: Iterable[bytes] = ()) -> Callable[[bytes], bool]:
    """`asserts_identity`, and these names and prefixes besides: what a front proxy of ours was configured to say."""
    also, also_prefixes = frozenset(names), tuple(prefixes)
    if not also and not also_prefixes:
        return asserts_identity
    return lambda name: name in also or asserts_identity(name) or name.startswith(also_prefixes)
