"""Is this the browser that was first signed in at that host?"""

from __future__ import annotations

import hashlib

import pytest

from bastion.signin.pairs import MOST_PAIRS, BrowserMatch, paired, with_pair

HOST, OTHER = "web--shop.svc.proxy.test", "evil--shop.svc.proxy.test"
MINE, ANOTHERS = hashlib.sha256(b"mine").digest(), hashlib.sha256(b"another's").digest()


def full() -> bytes:
    cookie = b""
    for n in range(MOST_PAIRS):
        cookie = with_pair(cookie, f"{n}--shop.svc.proxy.test", hashlib.sha256(b"%d" % n).digest())
    return cookie


def test_what_is_not_known_yet_is_remembered() -> None:
    assert paired(b"", HOST, MINE) is BrowserMatch.NEW
    cookie = with_pair(b"", HOST, MINE)
    assert paired(cookie, HOST, MINE) is BrowserMatch.SAME
    assert paired(cookie, HOST, ANOTHERS) is BrowserMatch.OTHER
    assert paired(cookie, OTHER, MINE) is BrowserMatch.NEW
    assert with_pair(cookie, HOST, MINE) == cookie


def test_nothing_makes_room_for_another_nonce() -> None:
    cookie = full()
    assert paired(cookie, HOST, MINE) is BrowserMatch.NO_ROOM
    assert paired(cookie, "0--shop.svc.proxy.test", hashlib.sha256(b"0").digest()) is BrowserMatch.SAME
    assert paired(cookie, "0--shop.svc.proxy.test", MINE) is BrowserMatch.OTHER
    assert (
        len(cookie) + len("__Host-bastion_pairs=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=34560000")
        < 4096
    )


@pytest.mark.parametrize("cookie", [b"x", b"x" * 21, b"=" * 20, b"\xff" * 20, b"a b" * 20])
def test_what_is_no_memory_is_none(cookie: bytes) -> None:
    assert paired(cookie, HOST, MINE) is BrowserMatch.NEW
    assert paired(with_pair(cookie, HOST, MINE), HOST, ANOTHERS) is BrowserMatch.OTHER
