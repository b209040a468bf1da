"""How often does the bastion ask the API server to authenticate and authorize?

The API server runs here, in this process, and counts; the bastion is a process of its own over a kubeconfig.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Collection

from bastion.standalone.apiserver import ApiServer
from bench import streams
from bench.client import await_answer
from bench.fixture import Service, User, web_services
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.proxies import bastion, nginx
from bench.report import say

PARTS = ("counts",)
TARGETS = {
    "tokenreviews": Target("TokenReviews for 10 000 requests of 10 users", 10, ""),
    "subjectaccessreviews": Target("SubjectAccessReviews for the same, to 2 services", 20, ""),
}

USERS, SERVICES = 10, 2
# of each user to each service, all at once: a question is asked once, however many wait for its answer
CONNECTIONS = 5
EACH = 100  # requests on a connection
WITHIN = 10.0  # seconds: what is remembered lapses after that
LONGEST = 120.0


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning."""
    return streams.run(asyncio.wait_for(_run(ground), LONGEST)) if parts else Outcome()


async def _run(ground: Ground) -> Outcome:
    services = web_services(ground.network, SERVICES)
    ground.processes.start("backend", nginx.backend(ground, services), ground.load_core)
    objects, tokens = bastion.written(ground, services)
    async with ApiServer([objects], tokens) as api:
        port = free_port()
        command = bastion.over_kubeconfig(ground, port, ground.file("kubeconfig", api.kubeconfig()))
        program = ground.processes.start("bastion", command, ground.proxy_core)
        # This asks as the first user, whom the load leaves out: each of its questions is new.
        await asyncio.to_thread(await_answer, ground, program, port, services[0], nginx.GREETING.encode())
        before = api.calls.copy()
        begun = time.monotonic()
        good, wrong = await _ask_all(ground, port, services)
        seconds = time.monotonic() - begun
        asked = {name: api.calls[name] - before[name] for name in TARGETS}
        ground.processes.stop(program)
    return _outcome(good, wrong, seconds, asked)


def _outcome(good: int, wrong: list[str], seconds: float, asked: dict[str, int]) -> Outcome:
    outcome = Outcome(figures={"requests": good, "seconds": seconds, **asked})
    say(
        f"{good} requests in {seconds:.1f} s: "
        + ", ".join(f"{count} {name}" for name, count in asked.items())
    )
    if wrong:
        outcome.failures.append(f"{len(wrong)} connections failed, the first: {wrong[0]}")
    if seconds > WITHIN:
        outcome.skip(
            TARGETS.values(),
            f"the requests took {seconds:.1f} s, more than the {WITHIN:g} s for which answers are remembered",
        )
        return outcome
    for name, target in TARGETS.items():
        outcome.judge(target, asked[name])
    return outcome


async def _ask_all(ground: Ground, port: int, services: Collection[Service]) -> tuple[int, list[str]]:
    """How many were answered well, and what went wrong on the connections that broke."""
    pairs = itertools.product(ground.users[1 : 1 + USERS], services, range(CONNECTIONS))
    done = await asyncio.gather(
        *(_ask(ground, port, user, service) for user, service, _ in pairs), return_exceptions=True
    )
    return sum(n for n in done if isinstance(n, int)), [
        repr(error) for error in done if isinstance(error, BaseException)
    ]


async def _ask(ground: Ground, port: int, user: User, service: Service) -> int:
    connection = await streams.connect(ground, port)
    try:
        for _ in range(EACH):
            connection.ask("GET", f"{service.prefix}/", user)
            await connection.reader.readexactly(await connection.answered())
    finally:
        connection.close()
    return EACH
