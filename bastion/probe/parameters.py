"""· What a request to /probe says: its query and the time it gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from bastion.http.fields import Field, values
from bastion.kube.errors import unreadable
from bastion.kube.status import quoted

OFFSET = 0.5  # seconds that a scrape keeps for itself
LONGEST = 120.0  # where nothing says how long
SCRAPE_TIMEOUT = b"x-prometheus-scrape-timeout-seconds"
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]")


def parameters(query: bytes, known: tuple[str, ...]) -> Mapping[str, bytes]:
    """Each decoded once; what is not `known` is left out.

    Raises StatusError 400 where one is given twice: what is authorized and what is probed must not be two
    readings.
    """
    found: dict[str, bytes] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        key = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")
        if key not in known:
            continue
        if key in found:
            raise unreadable(f"the parameter {key} is given twice")
        found[key] = unquote_to_bytes(value.replace(b"+", b" "))
    return found


def text_of(found: Mapping[str, bytes], name: str) -> str:
    try:
        return found.get(name, b"").decode()
    except UnicodeDecodeError as error:
        raise unreadable(f"the parameter {name} is not UTF-8") from error


def host_of(found: Mapping[str, bytes]) -> str:
    name = text_of(found, "hostname")
    if not _HOST.issuperset(name) or len(name) > 255:
        raise unreadable(f"the hostname {quoted(name[:100])} is not a host name")
    return name


def scrape_timeout(fields: list[Field]) -> float | None:
    """Seconds, less what a scrape keeps for itself, 0 or less where it keeps them all; None: it says nothing.

    Raises StatusError 400.
    """
    given = values(fields, SCRAPE_TIMEOUT)
    if not given or not given[0]:
        return None
    try:
        seconds = float(given[0])
    except ValueError:
        seconds = math.nan
    if len(given) > 1 or not math.isfinite(seconds) or seconds < 0 or b"_" in given[0]:
        raise unreadable("the timeout in X-Prometheus-Scrape-Timeout-Seconds is not a number of 0 or more")
    return seconds - OFFSET if seconds else None


def time_for(scrape: float | None, module: float) -> float:
    """The shorter of the scrape's time and the module's, which says nothing with 0 or less.

    Where a scrape has less time than it keeps for itself the module's holds; then there is none without one.
    """
    most = LONGEST if scrape is None else min(scrape, LONGEST)
    if most < 0:
        return max(module, 0.0)
    return min(most, module) if module > 0 else most
