"""What a backend is told of where a request came from, and whose word counts."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bastion.kube.requestinfo import parse_proxied
from bastion.message.headers import Forwarded
from bastion.proxy.origin import Origins
from bastion.settings.kinds import network
from tests.fakes import refused
from tests.proxy.exchanges import Exchange, fields_of

PREFIX = b"/api/v1/namespaces/ns/pods/p:80/proxy"
SAID = (
    "X-Forwarded-For: 9.9.9.9",
    "X-Forwarded-Host: example.org",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Prefix: /evil",
)


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
        "10.1.2.3",
        ("X-Forwarded-For: 9.9.9.9, 8.8.8.8", "X-Forwarded-For: 7.7.7.7"),
        ("9.9.9.9, 8.8.8.8, 7.7.7.7, 10.1.2.3", *TRUTH),
    ),
    "one that says only the host": Row("10.1.2.3", SAID[1:2], ("10.1.2.3", "example.org", "https")),
    "mapped": Row("::ffff:10.1.2.3", SAID[:1], ("9.9.9.9, ::ffff:10.1.2.3", *TRUTH)),
    "no address": Row("", SAID, ("", *TRUTH)),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_whose_word_counts(row: Row) -> None:
    exchange = Exchange(target=PREFIX + b"/a%2Fb//c?x=y", fields=fields_of(*row.lines), client=row.client)
    info = parse_proxied("GET", exchange.target)
    assert info is not None
    told = Origins(map(network, row.trusted)).forwarded(exchange, info)
    assert told == Forwarded(  # type: ignore[misc]
        *(text.encode() for text in row.expected), prefix=PREFIX, uri=PREFIX + b"/a%2Fb//c"
    )


@pytest.mark.parametrize(
    ("rest", "uri"),
    [
        (b"", b""),
        (b"/", b"/"),
        (b"?x=/y", b""),
        (b"/?x=y", b"/"),
        (b"//a/../b", b"//a/../b"),
        (b"/%zz+%20", b"/%zz+%20"),
    ],
)
def test_the_uri_is_the_prefix_and_the_raw_rest_without_its_query(rest: bytes, uri: bytes) -> None:
    prefix = b"/api/v1/namespaces/ns/services/http%3As:http/proxy"
    exchange = Exchange(target=prefix + rest)
    info = parse_proxied("GET", exchange.target)
    assert info is not None
    told = Origins(()).forwarded(exchange, info)
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
def test_a_trusted_proxy_that_does_not_say_one_host_is_refused_and_a_strangers_word_is_nothing(
    lines: tuple[str, ...],
) -> None:
    exchange = Exchange(target=PREFIX + b"/", fields=fields_of(*lines), client="10.1.2.3")
    info = parse_proxied("GET", exchange.target)
    assert info is not None
    with refused(400):
        Origins([network("10.0.0.0/8")]).forwarded(exchange, info)
    assert Origins([]).forwarded(exchange, info).host == b"bastion.test"


# --- whose doing it is

# peer, X-Forwarded-For, client; 10.0.0.0/8 and fd00::/8 are trusted
CLIENTS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "nobody between": ("192.0.2.1", (), "192.0.2.1"),
    "a stranger's word": ("192.0.2.1", ("203.0.113.66",), "192.0.2.1"),
    "a trusted proxy's": ("10.0.0.1", ("203.0.113.66",), "203.0.113.66"),
    "what a client made up before it": ("10.0.0.1", ("198.51.100.7, 203.0.113.66",), "203.0.113.66"),
    "in two lines": ("10.0.0.1", ("198.51.100.7", "203.0.113.66"), "203.0.113.66"),
    "two proxies": ("10.0.0.1", ("198.51.100.7, 203.0.113.66, 10.0.0.2",), "203.0.113.66"),
    "a client with a trusted address in its own word": (
        "10.0.0.1",
        ("10.0.0.9, 203.0.113.66",),
        "203.0.113.66",
    ),
    "all trusted": ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
    "it says nothing": ("10.0.0.1", (), "10.0.0.1"),
    "it says an empty one": ("10.0.0.1", ("",), "10.0.0.1"),
    "unknown": ("10.0.0.1", ("203.0.113.66, unknown",), "10.0.0.1"),
    "unknown before another proxy": ("10.0.0.1", ("203.0.113.66, unknown, 10.0.0.2",), "10.0.0.2"),
    "with a port": ("10.0.0.1", ("203.0.113.66:4711",), "203.0.113.66"),
    "IPv6": ("fd00::1", ("2001:DB8:0:0::5",), "2001:db8::5"),
    "IPv6 in brackets": ("fd00::1", ("[2001:db8::5]",), "2001:db8::5"),
    "IPv6 with a port": ("fd00::1", ("[2001:db8::5]:4711",), "2001:db8::5"),
    "mapped": ("10.0.0.1", ("::ffff:203.0.113.66",), "203.0.113.66"),
    "mapped and trusted": ("10.0.0.1", ("203.0.113.66, ::ffff:10.0.0.2",), "203.0.113.66"),
    "with a scope": ("10.0.0.1", ("fe80::1%eth0",), "10.0.0.1"),
    "no address": ("10.0.0.1", ("203.0.113.66<script>",), "10.0.0.1"),
    "very many": ("10.0.0.1", ("198.51.100.7, " * 2000 + "203.0.113.66",), "203.0.113.66"),
    "very many proxies": ("10.0.0.1", ("203.0.113.66" + ", 10.0.0.2" * 2000,), "10.0.0.2"),
}


@pytest.mark.parametrize(("peer", "said", "client"), CLIENTS.values(), ids=CLIENTS)
def test_whose_doing_a_request_is(peer: str, said: tuple[str, ...], client: str) -> None:
    origins = Origins(map(network, ("10.0.0.0/8", "fd00::/8")))
    assert origins.client(peer, fields_of(*(f"X-Forwarded-For: {value}" for value in said))) == client


FOREIGN: dict[str, tuple[tuple[str, ...], bool]] = {
    "a program": ((), False),
    "a page of ours": (("Origin: https://bastion.test", "Sec-Fetch-Site: same-origin"), False),
    "the address bar": (("Sec-Fetch-Site: none",), False),
    "another site's page": (("Origin: https://evil.test", "Sec-Fetch-Site: cross-site"), True),
    "another site's page in an old browser": (("Origin: https://evil.test",), True),
    "a sandboxed page": (("Origin: null",), True),
    "a sibling's page": (("Origin: https://other.bastion.test", "Sec-Fetch-Site: same-site"), True),
    "a link elsewhere": (("Sec-Fetch-Site: cross-site",), True),
}


@pytest.mark.parametrize(("lines", "foreign"), FOREIGN.values(), ids=FOREIGN)
def test_whether_another_sites_page_made_a_browser_send_it(lines: tuple[str, ...], foreign: bool) -> None:
    assert Origins(()).foreign(Exchange(fields=fields_of(*lines))) is foreign


def test_what_is_ours_is_seen_from_the_browser_behind_a_trusted_proxy() -> None:
    exchange = Exchange(
        fields=fields_of("Origin: https://example.org", "X-Forwarded-Host: example.org"), client="10.1.2.3"
    )
    assert not Origins([network("10.0.0.0/8")]).foreign(exchange)
    assert Origins(()).foreign(exchange)
