"""What a backend is told of where a request came from, and whose word counts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bastion.config import network
from bastion.kube.requestinfo import request_info
from bastion.message.headers import Forwarded
from bastion.proxy.origin import Origins
from tests.fakes import refused
from tests.proxy.exchanges import Exchange, fields_of

PREFIX = b"/api/v1/namespaces/ns/pods/p:80/proxy"
SAID = ("X-Forwarded-For: 9.9.9.9", "X-Forwarded-Host: example.org", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /evil")


@dataclass(frozen=True)
class Row:
    """From `client`, with `lines`: client, host and proto as the backend is told them."""

    client: str
    lines: tuple[str, ...]
    expected: tuple[str, str, str]
    trusted: tuple[str, ...] = ("10.0.0.0/8", "fd00::/8")


TRUTH = ("bastion.test", "https")
ROWS = {
    "nobody trusted": Row("10.1.2.3", SAID, ("10.1.2.3", *TRUTH), ()),
    "a stranger": Row("192.0.2.1", SAID, ("192.0.2.1", *TRUTH)),
    "a stranger of IPv6": Row("2001:db8::1", SAID, ("2001:db8::1", *TRUTH)),
    "a trusted proxy": Row("10.1.2.3", SAID, ("9.9.9.9, 10.1.2.3", "example.org", "http")),
    "a trusted proxy of IPv6": Row("fd00::1", SAID, ("9.9.9.9, fd00::1", "example.org", "http")),
    "one that says nothing": Row("10.1.2.3", (), ("10.1.2.3", *TRUTH)),
    "one that says it in two lines": Row(
        "10.1.2.3", ("X-Forwarded-For: 9.9.9.9, 8.8.8.8", "X-Forwarded-For: 7.7.7.7"), ("9.9.9.9, 8.8.8.8, 7.7.7.7, 10.1.2.3", *TRUTH)
    ),
    "one that says only the host": Row("10.1.2.3", SAID[1:2], ("10.1.2.3", "example.org", "https")),
    "mapped": Row("::ffff:10.1.2.3", SAID[:1], ("9.9.9.9, ::ffff:10.1.2.3", *TRUTH)),
    "no address": Row("", SAID, ("", *TRUTH)),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_whose_word_counts(row: Row) -> None:
    exchange = Exchange(target=PREFIX + b"/a%2Fb//c?x=y", fields=fields_of(*row.lines), client=row.client)
    info = request_info("GET", exchange.target)
    assert info is not None
    told = Origins(map(network, row.trusted)).forwarded(exchange, info)  # type: ignore[arg-type]
    assert told == Forwarded(*(text.encode() for text in row.expected), prefix=PREFIX, uri=PREFIX + b"/a%2Fb//c")


@pytest.mark.parametrize(
    ("rest", "uri"),
    [(b"", b""), (b"/", b"/"), (b"?x=/y", b""), (b"/?x=y", b"/"), (b"//a/../b", b"//a/../b"), (b"/%zz+%20", b"/%zz+%20")],
)
def test_the_uri_is_the_prefix_and_the_raw_rest_without_its_query(rest: bytes, uri: bytes) -> None:
    prefix = b"/api/v1/namespaces/ns/services/http%3As:http/proxy"
    exchange = Exchange(target=prefix + rest)
    info = request_info("GET", exchange.target)
    assert info is not None
    told = Origins(()).forwarded(exchange, info)  # type: ignore[arg-type]
    assert (told.prefix, told.uri) == (prefix, prefix + uri)


@pytest.mark.parametrize(
    "lines",
    [
        ("X-Forwarded-Host: a.test, b.test",),
        ("X-Forwarded-Host: a.test,b.test",),
        ("X-Forwarded-Host: a.test", "X-Forwarded-Host: a.test"),
        ("X-Forwarded-Host: a.test:65536",),
        ("X-Forwarded-Host: user@a.test",),
        ("X-Forwarded-Host: a.test/x",),
        ("X-Forwarded-Host: ",),
        ("X-Forwarded-Proto: https, http",),
        ("X-Forwarded-Proto: https", "X-Forwarded-Proto: http"),
        ("X-Forwarded-Proto: ",),
    ],
)
def test_a_trusted_proxy_that_does_not_say_one_host_is_refused_and_a_strangers_word_is_nothing(lines: tuple[str, ...]) -> None:
    exchange = Exchange(target=PREFIX + b"/", fields=fields_of(*lines), client="10.1.2.3")
    info = request_info("GET", exchange.target)
    assert info is not None
    with refused(400):
        Origins([network("10.0.0.0/8")]).forwarded(exchange, info)
    assert Origins([]).forwarded(exchange, info).host == b"bastion.test"
