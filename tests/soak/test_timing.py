"""Does the time of a user's first request for a target tell whether another user asked for it a moment ago?

SOAK_ROUNDS says how many requests: 10 000 make two samples of 5 000.
"""

from __future__ import annotations

import math
import os
import time

from bastion.server.http1.connection import Peer
from tests import fakes
from tests.fakes import run
from tests.proxy.remembering import always, house

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "800"))
FAR = 5.0  # standard deviations, which chance passes once in two million runs


def test_what_another_user_asked_for_makes_no_first_request_faster() -> None:
    async def main() -> None:
        async with always() as backend, house() as h:
            alice = await h.connect(Peer("192.0.2.1"))
            bob = await h.connect(Peer("192.0.2.2"))
            alice.port = bob.port = backend.port
            told: list[float] = []
            untold: list[float] = []
            for number in range(-50, ROUNDS):
                name = f"web-{number + 50}"
                h.lead(name, backend)
                known = number % 2 == 0
                # or for something else of the same target: that it was looked for tells nothing of a user
                assert await alice.ask(name, method="GET" if known else "DELETE") == 200
                began = time.perf_counter()
                assert await bob.ask(name, token="u") == 200
                if number >= 0:
                    (told if known else untold).append(time.perf_counter() - began)
                fakes.remove(h.catalog, "pods", name)
            assert abs(difference(told, untold)) < FAR

    run(main())


def difference(one: list[float], other: list[float]) -> float:
    """By the ranks (Mann and Whitney), in standard deviations: outliers of a busy machine say little."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks = sum(rank for rank, (_, of) in enumerate(ranked, 1) if of == 0)
    n, m = len(one), len(other)
    mean = n * (n + m + 1) / 2
    return (ranks - mean) / math.sqrt(n * m * (n + m + 1) / 12)


def test_a_difference_would_be_seen() -> None:
    slow, fast = [1.0 + n / 1000 for n in range(400)], [1.1 + n / 1000 for n in range(400)]
    assert abs(difference(slow, fast)) > FAR
    assert abs(difference(slow, list(slow))) < 0.1
