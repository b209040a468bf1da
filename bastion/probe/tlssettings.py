"""· What a module says about TLS, and about who it is: `tls_config` and the kinds of credentials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bastion.probe.reading import item, many, mapping, one_of, refused, section, text, truth

VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")


@dataclass(frozen=True, slots=True)
class TLSConfig:
    ca: str = item(text, "")
    ca_file: str = item(text, "")
    cert: str = item(text, "")
    cert_file: str = item(text, "")
    key: str = item(text, "", secret=True)
    key_file: str = item(text, "")
    server_name: str = item(text, "")
    insecure_skip_verify: bool = item(truth, False)
    min_version: str = item(one_of(*VERSIONS), "")
    max_version: str = item(one_of(*VERSIONS), "")

    def check(self, path: str) -> Iterator[str]:
        for one in ("ca", "cert", "key"):
            if getattr(self, one) and getattr(self, f"{one}_file"):
                yield f"{path}: at most one of {one} and {one}_file"
        if bool(self.cert or self.cert_file) != bool(self.key or self.key_file):
            yield f"{path}: a client certificate needs its key, and the other way round"
        if self.min_version and self.max_version and self.min_version > self.max_version:
            yield f"{path}: min_version is greater than max_version"


@dataclass(frozen=True, slots=True)
class BasicAuth:
    username: str = item(text, "")
    username_file: str = item(text, "")
    password: str = item(text, "", secret=True)
    password_file: str = item(text, "")

    def check(self, path: str) -> Iterator[str]:
        for one in ("username", "password"):
            if getattr(self, one) and getattr(self, f"{one}_file"):
                yield f"{path}: at most one of {one} and {one}_file"


@dataclass(frozen=True, slots=True)
class Authorization:
    type: str = item(text, "Bearer")
    credentials: str = item(text, "", secret=True)
    credentials_file: str = item(text, "")

    def check(self, path: str) -> Iterator[str]:
        if self.type.strip().lower() == "basic":
            yield f"{path}.type: Basic is said with basic_auth"
        if self.credentials and self.credentials_file:
            yield f"{path}: at most one of credentials and credentials_file"


@dataclass(frozen=True, slots=True)
class OAuth2:
    client_id: str = item(text, "")
    client_secret: str = item(text, "", secret=True)
    client_secret_file: str = item(text, "")
    scopes: tuple[str, ...] = item(many(text), ())
    token_url: str = item(text, "")
    endpoint_params: tuple[tuple[str, str], ...] = item(mapping(text), ())
    tls_config: TLSConfig = item(section(TLSConfig), TLSConfig())
    proxy_url: str = item(refused("no token is fetched over a proxy"), "")

    def check(self, path: str) -> Iterator[str]:
        if not self.client_id or not self.token_url:
            yield f"{path}: client_id and token_url must be set"
        if self.client_secret and self.client_secret_file:
            yield f"{path}: at most one of client_secret and client_secret_file"


@dataclass(frozen=True, slots=True)
class HeaderValues:
    """Of `http_headers`."""

    values: tuple[str, ...] = item(many(text), ())
    secrets: tuple[str, ...] = item(many(text), (), secret=True)
    files: tuple[str, ...] = item(many(text), ())
