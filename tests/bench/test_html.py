"""The bodies that are rewritten are what they say, and the same every time."""

from __future__ import annotations

import zlib

import pytest

from bench.html_pages import BOMBS, PAGES


@pytest.mark.parametrize(
    "name", ["documentation", "dashboard, gzip", "documentation, deflate", "documentation, latin-1"]
)
def test_a_page_is_a_mebibyte_and_always_the_same(name: str) -> None:
    body = PAGES[name]()
    assert body == PAGES[name]()
    page = body.data if body.encoding == "identity" else zlib.decompress(body.data, 47)
    assert page.startswith(b"<!DOCTYPE html>")
    assert len(page) / (1 << 20) == body.length == pytest.approx(1, rel=0.05)


def test_the_bomb_below_the_limit_is_below_it() -> None:
    body = BOMBS["64 MiB of links below the limit"]()
    assert 60 < body.length * (1 << 20) / len(body.data) < 100
