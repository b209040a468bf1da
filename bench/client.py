"""Single requests, to check that a proxy is up and answers correctly."""

from __future__ import annotations

import http.client
import time

from bench.fixture import Service, User
from bench.ground import Ground
from bench.processes import NotRunning, Program

STARTING = 30.0  # seconds a program may take until it answers


def answer(ground: Ground, port: int, path: str, user: User) -> tuple[int, bytes]:
    """Status and body.  Raises OSError or HTTPException."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ground.client_tls())
    try:
        connection.request("GET", path, headers={"Authorization": user.authorization})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def await_answer(ground: Ground, program: Program, port: int, service: Service, expected: bytes) -> None:
    """Waits until the service's `/` is answered correctly.  Raises NotRunning."""
    deadline = time.monotonic() + STARTING
    last: object = "nothing"
    while time.monotonic() < deadline:
        program.require()
        try:
            last = status, body = answer(ground, port, f"{service.prefix}/", ground.users[0])
            if status == 200 and body == expected:
                return
        except (OSError, http.client.HTTPException) as error:
            last = error
        time.sleep(0.1)
    raise NotRunning(f"{program.name} does not answer as it should (last: {last!r})\n{program.last_words()}")
