"""The bastion as its users start it: a process of its own, reached over TLS, ready before anybody asks it."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.loopback import free_port

STARTS_WITHIN = 90.0  # seconds: nothing takes long, but a machine may be busy
ENDS_WITHIN = 10.0


@contextlib.contextmanager
def serving(*flags: str, log: Path) -> Iterator[int]:
    """`bastion serve`, from when it is ready on; the port it listens on."""
    port = free_port()
    with running("serve", "--port", str(port), *flags, ready=lambda: answers_ready(port), log=log):
        yield port


@contextlib.contextmanager
def running(*arguments: str, ready: Callable[[], bool], log: Path) -> Iterator[None]:
    """Any command of the bastion.  Raises RuntimeError with the end of its log if it does not get ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bastion", *arguments], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"bastion {arguments[0]} is not ready:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(
            f"https://127.0.0.1:{port}/readyz", timeout=2, context=ssl._create_unverified_context()
        ) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False  # 503, or nobody there yet
