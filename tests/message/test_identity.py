"""Which names would a backend believe?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.message.identity import DROPPED, DROPPED_PREFIXES, asserts_identity, withholding

BELIEVED = [
    b"x-remote-user",
    b"x-remote-extra-acme.com%2fproject",
    b"x-remote-",
    b"impersonate-user",
    b"impersonate-extra-scopes",
    b"x-forwarded-anything",
    b"x-auth-request-email",
    b"x-webauth-role",
    b"ssl-client-verify",
    b"x-ssl-cert",
    b"x_remote_user",
    b"remote_user",
    b"a_b",
    b"_",
    # lighttpd and its kind make `_` of any of these
    *(b"x%cremote%cuser" % (odd, odd) for odd in b"!#$%&'*+.^_`|~"),
    b"x-remote.user",
    b"~",
    b"x-anything.else",
    # each family, by names that the products send
    b"remote-groups",
    b"remote-email",
    b"remote-name",
    b"remote-addr",
    b"cf-access-authenticated-user-email",
    b"cf-access-client-id",
    b"cf-connecting-ipv6",
    b"cf-client-cert-sha256",
    b"client-cert",
    b"client-cert-chain",
    b"x-client-certificate",
    b"x-authentik-username",
    b"x-authentik-uid",
    b"x-authentik-entitlements",
    b"x-authentik-meta-app",
    b"x-pomerium-claim-email",
    b"x-pomerium-claim-groups",
    b"x-consumer-id",
    b"x-consumer-username",
    b"x-consumer-groups",
    b"x-credential-identifier",
    b"x-authenticated-groups",
    b"x-authenticated-userid",
    b"x-vouch-user",
    b"x-vouch-idp-claims-groups",
    b"tailscale-user-login",
    b"tailscale-user-profile-pic",
    b"tailscale-app-capabilities",
    b"x-amzn-mtls-clientcert-subject",
    b"x-amzn-oidc-identity",
    b"x-ms-client-principal-idp",
    b"x-ms-token-aad-id-token",
    b"x-arr-clientcert",
    b"x-goog-iap-jwt-assertion",
    b"x-goog-authenticated-user-email",
    b"x-forwarded-tls-client-cert-info",
    b"x-forwarded-client-cert",
    b"x-jwt-claim-sub",
    b"x-jwt-assertion",
    b"x-envoy-external-address",
    b"x-original-host",
    b"x-original-forwarded-for",
    b"x-real-port",
    b"l5d-client-id",
    b"kubeflow-userid",
    b"x-proxy-roles",
    b"x-auth-couchdb-username",
    b"oidc-claim-email",
    b"shib-session-id",
    b"iv-user",
]
NOT_BELIEVED = [
    b"x-remote",
    b"x-remoteuser",
    b"user",
    b"cookie",
    b"x-forwarded",
    b"impersonate",
    b"ssl",
    b"x-request-id",
    b"forwarded-by",
    b"proxying",
    b"",
    b"remote",
    b"x-auth-token",
    b"x-auth-key",
    b"x-api-key",
    b"x-user-id",
    b"x-client-data",
    b"x-amzn-trace-id",
    b"x-amz-date",
    b"cf-ray",
    b"client-version",
    b"sec-fetch-mode",
    b"x-azure",
]


@pytest.mark.parametrize("name", [*BELIEVED, *sorted(DROPPED)])
def test_a_name_that_backends_believe_is_known(name: Any) -> None:
    assert asserts_identity(name)


@pytest.mark.parametrize("name", NOT_BELIEVED)
def test_other_names_pass(name: Any) -> None:
    assert not asserts_identity(name)


def test_the_list_is_in_lower_case() -> None:
    assert all(name == name.lower() for name in (*DROPPED, *DROPPED_PREFIXES))


@pytest.mark.parametrize(
    ("names", "prefixes", "name", "withheld"),
    [
        ((), (), b"x-acme-user", False),
        ((), (), b"x-remote-user", True),
        ((b"x-acme-user",), (), b"x-acme-user", True),
        ((b"x-acme-user",), (), b"x-acme-user-agent", False),
        ((b"x-acme-user",), (), b"x-remote-user", True),
        ((b"x-acme-user",), (), b"cookie", False),
        ((), (b"x-extra-",), b"x-extra-scopes", True),
        ((), (b"x-extra-",), b"x-extra", False),
        ((), (b"x-extra-",), b"remote-user", True),
        ((b"x-acme-user",), (b"x-extra-",), b"x-extra-scopes", True),
        ((b"x-acme-user",), (b"x-extra-",), b"x-acme-user", True),
    ],
)
def test_what_a_front_proxy_of_ours_says_is_kept_from_backends_besides(
    names: Any, prefixes: Any, name: Any, withheld: Any
) -> None:
    assert withholding(names, prefixes)(name) is withheld


@pytest.mark.parametrize(
    ("allowed", "name", "withheld"),
    [
        ((b"x_tenant",), b"x_tenant", False),
        ((b"x_tenant",), b"x.tenant", True),
        ((b"x_tenant",), b"x_tenants", True),
        ((b"x_tenant", b"x.y"), b"x.y", False),
        ((b"x_remote_user",), b"x_remote_user", True),
        ((b"x.acme.user",), b"x.acme.user", True),
        ((b"x_extra_scopes",), b"x_extra_scopes", True),
    ],
)
def test_an_odd_name_passes_where_it_was_asked_for_and_is_no_other_spelling_of_an_identity(
    allowed: Any, name: Any, withheld: Any
) -> None:
    assert withholding((b"x-acme-user",), (b"x-extra-",), allowed)(name) is withheld


def test_what_was_decided_once_stays_and_long_names_are_judged_as_well() -> None:
    judge = withholding()
    for _ in range(2):
        assert judge(b"x-remote-user")
        assert not judge(b"x-request-id")
        assert judge(b"x-remote-" + b"a" * 60000)
        assert not judge(b"x-b" + b"a" * 60000)
