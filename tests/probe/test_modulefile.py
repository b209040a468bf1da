"""Which module files are good, and what is said of the others."""

from __future__ import annotations

import pytest

from bastion.probe.modulefile import modules_of
from bastion.probe.modules import Module
from bastion.probe.reading import Mistaken, shown

GOOD = {
    "nothing": "modules:",
    "every prober": "modules: {a: {prober: http}, b: {prober: tcp}, c: {prober: grpc},"
    " d: {prober: dns, dns: {query_name: x}}}",
    "durations": "modules: {a: {prober: http, timeout: 1h2m3.5s}}",
    "sizes": "modules: {a: {prober: http, http: {body_size_limit: 2MiB}}}",
    "what is off is fine": "modules: {a: {prober: http, http: {enable_http3: false, proxy_url: ''}}}",
    "accepts by a star": "modules: {a: {prober: http, http: {compression: br,"
    " headers: {Accept-Encoding: '*'}}}}",
    "a file that is not there yet": "modules: {a: {prober: http, http: {tls_config: {ca_file: /none}}}}",
    "where it may go": "modules: {a: {prober: http, bastion: {namespaces: [shop], targets: [nodes/n]}}}",
}
BAD = {
    "modules: {a: {prober: icmp}}": "raw sockets",
    "modules: {a: {prober: ftp}}": "unknown prober 'ftp'",
    "modules: {a: {timeout: 5s}}": "prober: is missing",
    "modules: {a: {prober: http, timeout: 5}}": "duration",
    "modules: {a: {prober: http, timeout: 1d}}": "duration",
    "modules: {a: {prober: http, http: {body_size_limit: 10}}}": "unit",
    "modules: {a: {prober: http, http: {bdoy: x}}}": "field not found",
    "modules: {a: {prober: http, http: {compression: lz4}}}": "lz4",
    "modules: {a: {prober: http, http: {compression: gzip, headers: {accept-encoding: 'br'}}}}": "excludes",
    "modules: {a: {prober: http, http: {fail_if_body_matches_regexp: ['(?<!x)y']}}}": "RE2",
    "modules: {a: {prober: http, http: {fail_if_header_matches: [{header: X}]}}}": "regexp must be set",
    "modules: {a: {prober: http, http: {proxy_url: 'http://p:1'}}}": "no proxy",
    "modules: {a: {prober: http, http: {enable_http3: true}}}": "HTTP/3",
    'modules: {a: {prober: http, http: {headers: {X: "a\\nb"}}}}': "not a header field",
    "modules: {a: {prober: http, http: {method: 'GET /'}}}": "not a method",
    "modules: {a: {prober: http, http: {fail_if_body_json_matches_cel: 'body.'}}}": "CEL",
    "modules: {a: {prober: http, http: {bearer_token: a, basic_auth: {username: b}}}}": "at most one of",
    "modules: {a: {prober: http, http: {tls_config: {cert_file: c}}}}": "needs its key",
    "modules: {a: {prober: dns, dns: {query_name: x, query_class: XY}}}": "query class",
    "modules: {a: {prober: tcp, tcp: {source_ip_address: 192.0.2.1}}}": "bastion's own",
    "modules: {a: {prober: http}, a: {prober: tcp}}": "there twice",
    "modules: {declared: {prober: http}}": "built in",
    "modules: []": "not a mapping",
    "other: {}": "not found",
    "[]": "not one mapping",
    "": "not one mapping",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=list(GOOD))
def test_good(text: str) -> None:
    modules_of(text)


@pytest.mark.parametrize(("text", "why"), BAD.items(), ids=list(BAD.values()))
def test_bad(text: str, why: str) -> None:
    with pytest.raises(Mistaken, match=why):
        modules_of(text)


def test_every_mistake_is_told_at_once_with_its_path() -> None:
    with pytest.raises(Mistaken) as told:
        modules_of(
            "modules: {a: {prober: x, timeout: y}, b: {prober: tcp, tcp: {query_response: [{expect: '('}]}}}"
        )
    paths = [line.partition(": ")[0] for line in told.value.lines]
    assert paths == ["modules.a.prober", "modules.a.timeout", "modules.b.tcp.query_response[0].expect"]


def test_secrets_are_never_shown() -> None:
    module = modules_of(
        "modules: {a: {prober: http, http: {basic_auth: {username: u, password: hush},"
        " http_headers: {X-Key: {secrets: [hush]}}}}}"
    )["a"]
    assert "hush" not in str(shown(module))
    assert shown(module)["http"]["basic_auth"] == {"username": "u", "password": "<secret>"}


@pytest.mark.parametrize(
    ("module", "method"),
    [
        ("prober: http", "GET"),
        ("prober: http, http: {method: PATCH}", "PATCH"),
        ("prober: tcp", "GET"),
        ("prober: tcp, tcp: {query_response: [{expect: x}]}", "GET"),
        ("prober: tcp, tcp: {query_response: [{send: x}]}", "POST"),
        ("prober: tcp, tcp: {query_response: [{starttls: true}]}", "POST"),
        ("prober: grpc", "GET"),
    ],
    ids=str,
)
def test_the_method_that_a_caller_must_be_allowed(module: str, method: str) -> None:
    assert _one(module).method == method


@pytest.mark.parametrize(
    ("http", "has"),
    [
        ("{}", False),
        ("{headers: {X-A: b}}", False),
        ("{headers: {Authorization: b}}", True),
        ("{http_headers: {X-A: {files: [f]}}}", True),
        ("{bearer_token_file: f}", True),
        ("{oauth2: {client_id: c, token_url: 'https://t'}}", True),
        ("{tls_config: {cert_file: c, key_file: k}}", True),
    ],
    ids=str,
)
def test_what_has_credentials(http: str, has: bool) -> None:
    assert _one(f"prober: http, http: {http}").has_credentials is has


@pytest.mark.parametrize(
    ("allowed", "namespace", "id", "may"),
    [
        ("", "shop", "web", None),
        ("bastion: {namespaces: [shop]}", "shop", "https:web:443", True),
        ("bastion: {namespaces: [shop]}", "other", "web", False),
        ("bastion: {targets: [services/shop/web]}", "shop", "https:web:443", True),
        ("bastion: {targets: ['services/shop/web:80']}", "shop", "web:80", True),
        ("bastion: {targets: ['services/shop/web:80']}", "shop", "web:81", False),
        ("bastion: {}", "shop", "web", False),
    ],
    ids=str,
)
def test_where_credentials_may_go(allowed: str, namespace: str, id: str, may: bool | None) -> None:
    module = _one(f"prober: http, {allowed}" if allowed else "prober: http")
    assert module.may_go_to("services", namespace, id) is may


def _one(text: str) -> Module:
    return modules_of("modules: {a: {" + text + "}}")["a"]
