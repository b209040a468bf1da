"""· The modules of a probe configuration: blackbox_exporter's fields and defaults, one section is ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bastion.probe.expressions import expression
from bastion.probe.reading import (
    anything,
    bytes_size,
    duration,
    item,
    many,
    mapping,
    one_of,
    parsed,
    pattern,
    refused,
    section,
    text,
    truth,
    whole,
)
from bastion.probe.rrtypes import query_class, query_type
from bastion.probe.tlssettings import Authorization, BasicAuth, HeaderValues, OAuth2, TLSConfig

Pairs = tuple[tuple[str, str], ...]
COMPRESSIONS = ("gzip", "deflate", "br", "identity")
VERSIONS = ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0")
NO_PROXY = "a probe takes the users' own path through the bastion, and no proxy"
# An address of another family is taken where this is not refused; unset, the users' own path decides.
_FAMILY = parsed(lambda word: word)


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    header: str = item(text, "")
    regexp: Any = item(pattern)
    allow_missing: bool = item(truth, False)

    def check(self, path: str) -> Iterator[str]:
        if not self.header:
            yield f"{path}: header name must be set for HTTP header matchers"
        if self.regexp is None or not self.regexp.pattern:
            yield f"{path}: regexp must be set for HTTP header matchers"


@dataclass(frozen=True, slots=True)
class Http:
    valid_status_codes: tuple[int, ...] = item(many(whole), ())
    valid_http_versions: tuple[str, ...] = item(many(text), ())
    preferred_ip_protocol: str = item(_FAMILY, "")
    ip_protocol_fallback: bool = item(truth, True)
    skip_resolve_phase_with_proxy: bool = item(refused(NO_PROXY), False)
    no_follow_redirects: bool | None = item(truth)
    follow_redirects: bool = item(truth, True)
    fail_if_ssl: bool = item(truth, False)
    fail_if_not_ssl: bool = item(truth, False)
    method: str = item(text, "GET")
    headers: Pairs = item(mapping(text), ())
    http_headers: tuple[tuple[str, HeaderValues], ...] = item(mapping(section(HeaderValues)), ())
    fail_if_body_matches_regexp: tuple[Any, ...] = item(many(pattern), ())
    fail_if_body_not_matches_regexp: tuple[Any, ...] = item(many(pattern), ())
    fail_if_body_json_matches_cel: Any = item(expression)
    fail_if_body_json_not_matches_cel: Any = item(expression)
    fail_if_header_matches: tuple[HeaderMatch, ...] = item(many(section(HeaderMatch)), ())
    fail_if_header_not_matches: tuple[HeaderMatch, ...] = item(many(section(HeaderMatch)), ())
    body: str = item(text, "")
    body_file: str = item(text, "")
    compression: str = item(one_of(*COMPRESSIONS), "")
    body_size_limit: int = item(bytes_size, 0)
    basic_auth: BasicAuth | None = item(section(BasicAuth))
    authorization: Authorization | None = item(section(Authorization))
    bearer_token: str = item(text, "", secret=True)
    bearer_token_file: str = item(text, "")
    oauth2: OAuth2 | None = item(section(OAuth2))
    tls_config: TLSConfig = item(section(TLSConfig), TLSConfig())
    enable_http2: bool = item(truth, True)
    enable_http3: bool = item(refused("HTTP/3 is not spoken here"), False)
    proxy_url: str = item(refused(NO_PROXY), "")
    no_proxy: str = item(refused(NO_PROXY), "")
    proxy_from_environment: bool = item(refused(NO_PROXY), False)
    proxy_connect_header: Any = item(refused(NO_PROXY))

    @property
    def follows(self) -> bool:
        return not self.no_follow_redirects if self.no_follow_redirects is not None else self.follow_redirects

    @property
    def has_credentials(self) -> bool:
        return bool(
            self.basic_auth
            or self.authorization
            or self.bearer_token
            or self.bearer_token_file
            or self.oauth2
            or self.tls_config.cert
            or self.tls_config.cert_file
            or any(name.lower() in SECRET_HEADERS for name, _ in (*self.headers, *self.http_headers))
            or any(values.secrets or values.files for _, values in self.http_headers)
        )

    def check(self, path: str) -> Iterator[str]:
        ways = ("basic_auth", "authorization", "bearer_token", "bearer_token_file", "oauth2")
        there = [way for way in ways if getattr(self, way)]
        if len(there) > 1:
            yield f"{path}: at most one of {', '.join(there)}"
        if self.body and self.body_file:
            yield f"{path}: at most one of body and body_file"
        for version in self.valid_http_versions:
            if version not in VERSIONS:
                yield f"{path}.valid_http_versions: {version} is not spoken here"
        if not TOKEN.issuperset(self.method) or not self.method:
            yield f"{path}.method: {self.method!r} is not a method"
        for name, value in self.headers:
            if not name or not TOKEN.issuperset(name) or any(c in value for c in "\r\n\0"):
                yield f"{path}.headers.{name}: not a header field"
            if name.lower() == "accept-encoding" and not _accepts(value, self.compression):
                yield (
                    f"{path}: invalid configuration: {name}: {value} excludes the compression"
                    f" {self.compression}"
                )


SECRET_HEADERS = frozenset(("authorization", "cookie", "proxy-authorization", "x-api-key"))
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def _accepts(accepted: str, compression: str) -> bool:
    """Whether an Accept-Encoding allows it (RFC 9110, 12.5.3)."""
    if not compression:
        return True
    weights: dict[str, float] = {}
    for part in accepted.split(","):
        name, _, parameter = part.strip().lower().partition(";")
        _, _, weight = parameter.strip().partition("q=")
        try:
            weights[name.strip()] = float(weight or 1)
        except ValueError:
            weights[name.strip()] = 0.0
    return weights.get(compression, weights.get("*", 0.0 if compression != "identity" else 1.0)) > 0


@dataclass(frozen=True, slots=True)
class Label:
    name: str = item(text, "")
    value: str = item(text, "")


@dataclass(frozen=True, slots=True)
class Step:
    """One of `query_response`."""

    expect: Any = item(pattern)
    expect_bytes: str = item(text, "")
    labels: tuple[Label, ...] = item(many(section(Label)), ())
    send: str = item(text, "")
    starttls: bool = item(truth, False)

    def check(self, path: str) -> Iterator[str]:
        if self.expect is not None and self.expect_bytes:
            yield f"{path}: at most one of expect and expect_bytes"


@dataclass(frozen=True, slots=True)
class Tcp:
    preferred_ip_protocol: str = item(_FAMILY, "")
    ip_protocol_fallback: bool = item(truth, True)
    source_ip_address: str = item(refused("the address to connect from is the bastion's own"), "")
    query_response: tuple[Step, ...] = item(many(section(Step)), ())
    tls: bool = item(truth, False)
    tls_config: TLSConfig = item(section(TLSConfig), TLSConfig())

    @property
    def writes(self) -> bool:
        return any(step.send or step.starttls for step in self.query_response)


@dataclass(frozen=True, slots=True)
class Grpc:
    service: str = item(text, "")
    preferred_ip_protocol: str = item(_FAMILY, "")
    ip_protocol_fallback: bool = item(truth, True)
    tls: bool = item(truth, False)
    tls_config: TLSConfig = item(section(TLSConfig), TLSConfig())
    metadata: tuple[tuple[str, tuple[str, ...]], ...] = item(mapping(many(text)), ())


@dataclass(frozen=True, slots=True)
class Records:
    """What the records of one section of an answer must be."""

    fail_if_matches_regexp: tuple[Any, ...] = item(many(pattern), ())
    fail_if_all_match_regexp: tuple[Any, ...] = item(many(pattern), ())
    fail_if_not_matches_regexp: tuple[Any, ...] = item(many(pattern), ())
    fail_if_none_matches_regexp: tuple[Any, ...] = item(many(pattern), ())


@dataclass(frozen=True, slots=True)
class Dns:
    query_name: str = item(text, "")
    query_type: str = item(query_type, "ANY")
    query_class: str = item(query_class, "IN")
    recursion_desired: bool = item(truth, True)
    transport_protocol: str = item(one_of("udp", "tcp"), "udp")
    dns_over_tls: bool = item(truth, False)
    tls_config: TLSConfig = item(section(TLSConfig), TLSConfig())
    preferred_ip_protocol: str = item(_FAMILY, "")
    ip_protocol_fallback: bool = item(truth, True)
    source_ip_address: str = item(refused("the address to connect from is the bastion's own"), "")
    valid_rcodes: tuple[str, ...] = item(many(text), ())
    validate_answer_rrs: Records = item(section(Records), Records())
    validate_authority_rrs: Records = item(section(Records), Records())
    validate_additional_rrs: Records = item(section(Records), Records())

    @property
    def over_udp(self) -> bool:
        return self.transport_protocol == "udp" and not self.dns_over_tls

    def check(self, path: str) -> Iterator[str]:
        if not self.query_name:
            yield f"{path}: query name must be set for DNS module"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The section `bastion`: which targets the module may be aimed at, all where it is not there."""

    namespaces: tuple[str, ...] = item(many(text), ())
    targets: tuple[str, ...] = item(many(text), ())


PROBERS = ("http", "tcp", "grpc", "dns")
_ELSEWHERE = {
    "icmp": "icmp needs raw sockets, which the bastion does without: use tcp",
    "unix": "unix reaches no pod",
    "websocket": "websocket is not offered",
}


def prober(value: Any, path: str, wrong: list[str]) -> Any:
    if value in PROBERS:
        return value
    known = ", ".join(PROBERS)
    wrong.append(f"{path}: {_ELSEWHERE.get(str(value), f'unknown prober {value!r}; there are {known}')}")
    return None


@dataclass(frozen=True, slots=True)
class Module:
    """`timeout` in seconds; 0 or less: no limit of its own."""

    prober: str = item(prober, "")
    timeout: float = item(duration, 0.0)
    http: Http = item(section(Http), Http())
    tcp: Tcp = item(section(Tcp), Tcp())
    grpc: Grpc = item(section(Grpc), Grpc())
    dns: Dns = item(section(Dns), Dns())
    icmp: Any = item(anything)
    unix: Any = item(anything)
    bastion: Allowed | None = item(section(Allowed))

    def check(self, path: str) -> Iterator[str]:
        if not self.prober:
            yield f"{path}.prober: is missing"
        if self.prober == "dns" and not self.dns.query_name:
            yield f"{path}.dns: query name must be set for DNS module"

    @property
    def settings(self) -> Http | Tcp | Grpc | Dns:
        return getattr(self, self.prober)  # type: ignore[no-any-return]

    @property
    def method(self) -> str:
        """The HTTP method whose verb a caller needs."""
        if self.prober == "http":
            return self.http.method
        return "POST" if self.prober == "tcp" and self.tcp.writes else "GET"

    @property
    def has_credentials(self) -> bool:
        if isinstance(self.settings, Http):
            return self.settings.has_credentials
        metadata = isinstance(self.settings, Grpc) and any(
            name.lower() in SECRET_HEADERS for name, _ in self.settings.metadata
        )
        return metadata or bool(self.settings.tls_config.cert or self.settings.tls_config.cert_file)

    def may_go_to(self, resource: str, namespace: str, id: str) -> bool | None:
        """None where the module does not say."""
        if self.bastion is None:
            return None
        named = {id, id.split(":")[0] if id.count(":") < 2 else id.split(":")[1]}
        return namespace in self.bastion.namespaces or any(
            f"{resource}/{namespace}/{name}".replace("//", "/") in self.bastion.targets for name in named
        )
