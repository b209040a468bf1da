"""Loads a proxy with wrk on the load's core, and reads what wrk says in numbers of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.fixture import Service, User
from bench.ground import Ground, require

# wrk rounds what it prints; this has the numbers whole.  Latencies and the duration are microseconds.
REPORT = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("figures %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
"""
# Made beforehand but for the number, so that the load stays cheap.
_UNIQUE = """
local before, after
local number = math.random(1000000) * 1000000
function init(args)
  wrk.headers["X-Request-Id"] = "@number@"
  local whole = wrk.format()
  local from, to = whole:find("@number@", 1, true)
  before, after = whole:sub(1, from - 1), whole:sub(to + 1)
end
function request()
  number = number + 1
  return before .. string.format("%032d", number) .. after
end
"""
_FIGURES = re.compile(r"^figures (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)
MARGIN = 30.0  # seconds that wrk may take longer than it was told to


class LoadFailed(Exception):
    """wrk did not run to its end."""


@dataclass(frozen=True, slots=True)
class Load:
    """`failed`: answers of 400 and above, and every error of a socket."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    failed: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def gets(user: User) -> str:
    return f'wrk.headers["Authorization"] = "{user.authorization}"\n{REPORT}'


def heads(user: User, fields: Mapping[str, str], *, unique: bool) -> str:
    """GETs with these fields; `unique`: and with one that is another in every request."""
    given = "".join(f'wrk.headers["{name}"] = {_quoted(value)}\n' for name, value in fields.items())
    return given + (_UNIQUE if unique else "") + gets(user)


def _quoted(value: str) -> str:
    """As Lua reads it."""
    return "[==[" + value + "]==]"


def posts(user: User, size: int) -> str:
    return f'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\n{gets(user)}'


def mixed(users: Sequence[User], services: Sequence[Service]) -> str:
    """Every user asks every service in turn; the requests are made beforehand, so that the load stays
    cheap.
    """
    return f"""
local tokens = {{ {", ".join(f'"{user.authorization}"' for user in users)} }}
local prefixes = {{ {", ".join(f'"{service.prefix}"' for service in services)} }}
local ready, turn = {{}}, 0
function init(args)
  for _, prefix in ipairs(prefixes) do
    for _, token in ipairs(tokens) do
      local fields = {{ ["Authorization"] = token, ["Host"] = wrk.headers["Host"] }}
      ready[#ready + 1] = wrk.format("GET", prefix .. "/", fields)
    end
  end
end
function request()
  turn = turn % #ready + 1
  return ready[turn]
end
{REPORT}"""


def run(ground: Ground, url: str, connections: int, seconds: float, script: str) -> Load:
    """Raises LoadFailed, and Unable without wrk."""
    require("wrk", "wrk")
    file = ground.file("load.lua", script)
    command = (
        "taskset",
        "-c",
        str(ground.load_core),
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "-s",
        str(file),
        url,
    )
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + MARGIN)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"wrk did not end within {seconds + MARGIN:g} s") from error
    return read_figures(done.stdout, done.stderr)


def read_figures(output: str, errors: str = "") -> Load:
    """Raises LoadFailed."""
    found = _FIGURES.search(output)
    if found is None or found[1] == "0":
        raise LoadFailed(f"wrk has nothing to report: {(errors or output).strip()[-500:]}")
    requests, duration, p50, p99, failed = map(int, found.groups())
    return Load(requests, duration / 1e6, p50, p99, failed)
