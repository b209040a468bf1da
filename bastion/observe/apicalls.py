"""Calls to the API server: how many, with which result, and how long they took."""

from __future__ import annotations

from bastion.observe.families import Family, Histograms, add_duration, counter, histogram

NAMES = ("verb", "resource")


class ApiCalls:
    def __init__(self) -> None:
        self._counts: dict[tuple[str, ...], float] = {}
        self._durations: Histograms = {}

    def observe(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """`code` 0: no response came."""
        key = (verb, resource, str(code))
        self._counts[key] = self._counts.get(key, 0) + 1
        add_duration(self._durations, (verb, resource), seconds)

    def families(self) -> list[Family]:
        return [
            counter(
                "bastion_api_requests",
                "Calls to the API server, by the code of the response; 0: none came.",
                (*NAMES, "code"),
                self._counts,
            ),
            histogram(
                "bastion_api_request_duration_seconds",
                "From a call to the head of its response.",
                NAMES,
                self._durations,
            ),
        ]
