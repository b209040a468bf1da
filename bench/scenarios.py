"""What is asked of every proxy, and what of it is a promise of the project?

Tables; pure but for the scripts' secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import wrk
from bench.fixture import Service
from bench.ground import Ground
from bench.outcome import Target
from bench.turns import TURNS

US = "bastion"
LIFETIME = 10  # seconds for which the bastion remembers a decision


@dataclass(frozen=True, slots=True)
class Scenario:
    """`path` below the first service.

    Seconds: `warm_up` before each turn, `longest` for a turn whatever was asked for.

    `looks_up`: the warm-up makes the proxy look up decisions that it then remembers for a LIFETIME.
    """

    path: str
    connections: int
    script: Callable[[Ground, Sequence[Service]], str]
    turns: int = TURNS
    warm_up: int = 1
    longest: int = 60
    looks_up: bool = False


def _get(ground: Ground, _: Sequence[Service]) -> str:
    return wrk.gets(ground.users[0])


def _post(ground: Ground, _: Sequence[Service]) -> str:
    return wrk.posts(ground.users[0], 10240)


def _mix(ground: Ground, services: Sequence[Service]) -> str:
    return wrk.mixed(ground.users, services)


# What Chrome sends for a page, 15 fields with Host and Authorization.
BROWSER = {
    "Connection": "keep-alive",
    "Cache-Control": "max-age=0",
    "sec-ch-ua": '"Not/A)Brand";v="8", "Chromium";v="126", "Google Chrome";v="126"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0"
    " Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9,de;q=0.8",
}


def _unique(ground: Ground, _: Sequence[Service]) -> str:
    return wrk.heads(ground.users[0], {}, unique=True)


def _browser(ground: Ground, _: Sequence[Service]) -> str:
    return wrk.heads(ground.users[0], BROWSER, unique=False)


def _both(ground: Ground, _: Sequence[Service]) -> str:
    return wrk.heads(ground.users[0], BROWSER, unique=True)


SCENARIOS = {
    "get-c1": Scenario("/", 1, _get),
    "get-c32": Scenario("/", 32, _get),
    "get-c128": Scenario("/", 128, _get),
    "unique": Scenario("/", 32, _unique),
    "browser": Scenario("/", 32, _browser),
    "both": Scenario("/", 32, _both),
    "get-1k": Scenario("/1k", 32, _get),
    "get-64k": Scenario("/64k", 32, _get),
    "post-10k": Scenario("/post", 32, _post),
    # The thousand decisions are looked up while it warms up, and none lapses before the turn is over.
    "mix": Scenario("/", 32, _mix, warm_up=6, longest=3, looks_up=True),
}
DOWNLOAD = "download"


@dataclass(frozen=True, slots=True)
class RatioTarget:
    """A target: the bastion's `figure` in a scenario divided by `by`, a figure of the proxy `of`."""

    target: Target
    scenario: str
    figure: str
    of: str
    by: str


QUOTIENTS = (
    RatioTarget(
        Target("CPU of a small GET, 32 connections, to Envoy's", 2.0, "x"),
        "get-c32",
        "cpu_us",
        "envoy",
        "cpu_us",
    ),
    RatioTarget(
        Target("CPU of the mix, 50 users and 20 services, to Envoy's", 2.4, "x"),
        "mix",
        "whole_us",
        "envoy",
        "whole_us",
    ),
    RatioTarget(
        Target("median time of a GET, 1 connection, to nginx's", 2.5, "x"),
        "get-c1",
        "p50_us",
        "nginx",
        "p50_us",
    ),
    RatioTarget(
        Target("download of 100 MiB, to nginx's speed", 0.8, "x", at_least=True),
        DOWNLOAD,
        "mib_s",
        "nginx",
        "mib_s",
    ),
    RatioTarget(Target("p99 to p50 of a GET, 128 connections", 3.0, "x"), "get-c128", "p99_us", US, "p50_us"),
)
