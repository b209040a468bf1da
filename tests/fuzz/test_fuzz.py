"""Some of what `make fuzz` looks for, drawn by a seed; and the inputs that once broke something."""

from __future__ import annotations

import importlib
from random import Random

import pytest

from tests.fuzz.mutation import mutated

# Inputs of each target: some five seconds each.
DRAWN = {
    "head": 40_000,
    "connection": 30_000,
    "target": 120_000,
    "surgery": 50_000,
    "answer": 50_000,
    "page": 10_000,
    "ordinary": 60_000,
    "frames": 4_000,
}

FOUND = [
    pytest.param(
        "head",
        b"\x05GET / HTTP/1.1\r\nHost: h\r\nConnection: cl ose\r\n\r\n",
        id="blank-in-a-connection-option",
    ),
    pytest.param(
        "connection", b"\x01\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", id="several-empty-lines"
    ),
    pytest.param("connection", b"\x01BAD\r\nHost: h\r\n", id="bad-request-line-in-pieces"),
    pytest.param(
        "answer",
        b"\x05\x00HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"0" * 99
        + b"2\r\nhe\r\n0\r\n\r\n",
        id="chunk-size-with-many-zeros",
    ),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_once_broke_something(name: str, data: bytes) -> None:
    importlib.import_module(f"tests.fuzz.{name}").check(data)


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_breaks(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    for seed in target.SEEDS:
        target.check(seed)
    chance = Random(f"fuzz {name}")
    for _ in range(DRAWN[name]):
        data = mutated(chance, target.SEEDS, target.WORDS)
        try:
            target.check(data)
        except Exception as error:
            raise AssertionError(f"{name}.check({data!r})") from error
