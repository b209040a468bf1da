"""The bed of namespaces, made once a file; without root the tests that need it are skipped with a word."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.bed import Bed, why_not


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = Bed()
    try:
        made.up()
        yield made
    finally:
        made.down()
