"""· Which request headers may not reach a backend, because a backend would believe them?

The one explicit list: identities, addresses and requests that proxies in front of a backend assert.  A client
may not assert them (CVE-2025-64484, CVE-2025-54468): who asks the bastion alone tells, and only to backends
whose Service asks for it (`remoteuser`).  Credentials for a backend (X-Auth-Token, X-API-Key, a token of its
own) are proof, not assertion, and pass.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache

# CGI and its heirs make `_` of every other character (lighttpd: X.Remote.User is HTTP_X_REMOTE_USER), so that
# a name with one is another spelling of the name with `-`.
_PLAIN = (string.ascii_letters + string.digits + "-").encode()
_FOLDED = bytes(byte if byte in _PLAIN else ord("-") for byte in range(256))
REMEMBERED, REMEMBERED_LENGTH = (
    1024,
    64,
)  # names, and bytes of a name: clients choose them, so both are bounded

# Products that own every header with that prefix.
FAMILIES = {
    "the bastion itself": ("x-bastion-",),
    "kube-apiserver's own front proxies": ("x-remote-", "impersonate-"),
    "forwarding, as all proxies write it; Envoy's and Traefik's client certificates, oauth2-proxy": (
        "x-forwarded-",
    ),
    "what the request was before a proxy changed it": ("x-original-",),
    "the peer's address, port and scheme (nginx)": ("x-real-",),
    "Authelia, and forward authentication of others": ("remote-",),
    "oauth2-proxy behind nginx": ("x-auth-request-",),
    "Grafana, Gitea and others behind a proxy": ("x-webauth-",),
    "Authentik": ("x-authentik-",),
    "Pomerium": ("x-pomerium-",),
    "Kong": ("x-consumer-", "x-credential-", "x-authenticated-"),
    "Vouch": ("x-vouch-",),
    "Tailscale": ("tailscale-", "x-tailscale-"),
    "Teleport": ("teleport-", "x-teleport-"),
    "Cloudflare": ("cf-access-", "cf-client-", "cf-connecting-", "cf-pseudo-"),
    "Google's Identity-Aware Proxy and App Engine": ("x-goog-iap-", "x-goog-authenticated-", "x-appengine-"),
    "AWS load balancers": ("x-amzn-oidc-", "x-amzn-mtls-"),
    "Azure App Service and Front Door": ("x-ms-client-principal", "x-ms-token-", "x-arr-", "x-azure-"),
    "RFC 9440, and nginx, Apache, HAProxy, IIS before it": (
        "client-cert",
        "x-client-cert",
        "ssl-client-",
        "x-ssl-",
    ),
    "Envoy, Istio, Linkerd": ("x-envoy-", "x-istio-", "x-jwt-", "l5d-"),
    "Kubeflow": ("kubeflow-",),
    "OpenSearch and CouchDB behind a proxy": ("x-proxy-", "x-auth-couchdb-"),
    "mod_auth_openidc, Shibboleth": ("oidc-", "x-oidc-", "shib-", "x-shib-"),
    "SiteMinder, Oracle Access Manager, WebSEAL, WebLogic": (
        "sm-",
        "oam-",
        "osso-",
        "iv-",
        "wl-proxy-",
        "proxy-client-",
    ),
    "Vercel": ("x-vercel-",),
}
DROPPED_PREFIXES = tuple(prefix.encode() for prefixes in FAMILIES.values() for prefix in prefixes)

DROPPED = frozenset(
    name.encode()
    for name in (
        # identity: single names, whose beginnings are others' as well
        "x-user",  # Oathkeeper, and what oauth2-proxy's recipe for nginx calls it
        "x-email",
        "x-username",
        "x-user-email",
        "x-auth-audience",  # Gatekeeper (X-Auth-Token stays: it is also a credential of the client's own)
        "x-auth-email",
        "x-auth-expiresin",
        "x-auth-groups",
        "x-auth-name",
        "x-auth-roles",
        "x-auth-subject",
        "x-auth-user",
        "x-auth-userid",
        "x-auth-username",
        "x-anonymous-consumer",  # Kong
        "x-userinfo",
        "x-id-token",
        "x-token-subject",
        "x-apigateway-api-userinfo",  # Google API Gateway and Endpoints
        "x-endpoint-api-userinfo",
        "x-client-dn",  # certificates, in hand-written configurations
        "x-client-verify",
        "x-client-cn",
        "x-client-subject",
        "x-client-issuer",
        "proxy",  # CVE-2016-5385: CGI backends take it for HTTP_PROXY
        # what the request "really" was: only the request line says so
        "x-rewrite-url",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-http-host-override",
        "x-host",
        "x-scheme",
        "x-url-scheme",
        "front-end-https",
        # addresses
        "true-client-ip",
        "cf-ipcountry",
        "cf-visitor",
        "client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-originating-ip",
        "x-nf-client-connection-ip",
        "fastly-client-ip",
        "fly-client-ip",
        "do-connecting-ip",
        "forwarded",
    )
)


def asserts_identity(name: bytes) -> bool:
    """Whether a header of this lower-case name is kept from backends: one of the list, or any that is spelled
    oddly.
    """
    return is_odd(name) or name in DROPPED or name.startswith(DROPPED_PREFIXES)


def is_odd(name: bytes) -> bool:
    """Whether a character of it is neither a letter, a digit nor `-`."""
    return bool(name.translate(None, _PLAIN))


def folded(name: bytes) -> bytes:
    """As a backend reads it that maps all odd characters to the same one."""
    return name.lower().translate(_FOLDED)


def withholding(
    names: Collection[bytes] = (), prefixes: Iterable[bytes] = (), allowed: Collection[bytes] = ()
) -> Callable[[bytes], bool]:
    """`asserts_identity`, and these names and prefixes besides: those that our front proxy is configured to
    send.

    `allowed` are odd names that pass nevertheless, unless another spelling of them is dropped.
    """
    also, also_prefixes = frozenset(names), tuple(prefixes)

    def asserted(name: bytes) -> bool:
        return asserts_identity(name) or name in also or name.startswith(also_prefixes)

    passing = frozenset(name for name in allowed if not asserted(folded(name)))

    def judge(name: bytes) -> bool:
        return name not in passing and asserted(name)

    remembered = lru_cache(REMEMBERED)(judge)
    return lambda name: remembered(name) if len(name) <= REMEMBERED_LENGTH else judge(name)
