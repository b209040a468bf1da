"""· What does an issuer say of itself?  Its discovery document (OpenID Connect Discovery 1.0, 4)."""

from __future__ import annotations

from typing import Any

import msgspec

from bastion.identity.compact import read_json
from bastion.settings.issuer import wrong_url


class Metadata(msgspec.Struct, frozen=True):
    """Endpoints are empty where the issuer has none, or none that can be used.

    `names_itself`: its answers to a browser carry `iss` (RFC 9207).  `secret_in_body`: its token endpoint
    takes a client's secret in the form alone.
    """

    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    end_session_endpoint: str = ""
    revocation_endpoint: str = ""
    device_authorization_endpoint: str = ""
    names_itself: bool = False
    secret_in_body: bool = False


_ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "end_session_endpoint",
    "revocation_endpoint",
    "device_authorization_endpoint",
)


def read_metadata(document: bytes, issuer: str) -> Metadata:
    """Raises ValueError."""
    found = read_json(document)
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise ValueError("the discovery document names another issuer")
    keys = found.get("jwks_uri")
    if not isinstance(keys, str) or wrong_url(keys.partition("?")[0]):
        raise ValueError("the discovery document has no usable jwks_uri")
    if keys.startswith("http:") and issuer.startswith("https:"):
        raise ValueError("the jwks_uri is not https")
    methods = found.get("token_endpoint_auth_methods_supported")
    return Metadata(
        jwks_uri=keys,
        **{name: _endpoint(found.get(name), issuer) for name in _ENDPOINTS},
        names_itself=found.get("authorization_response_iss_parameter_supported") is True,
        # client_secret_basic is what is meant where nothing is said
        secret_in_body=isinstance(methods, list)
        and "client_secret_post" in methods
        and "client_secret_basic" not in methods,
    )


def _endpoint(value: Any, issuer: str) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or "#" in value:
        return ""
    if wrong_url(value.partition("?")[0]) or (value.startswith("http:") and issuer.startswith("https:")):
        return ""
    return value
