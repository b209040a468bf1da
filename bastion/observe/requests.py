"""How many requests were there, with which result, and how long did they take?

Never a path or a user as a label.

Counted in plain dictionaries, because every request passes here.  No client, user or
backend can crowd out the series of the others by making up names.
"""

from __future__ import annotations

from bisect import bisect_left
from http import HTTPStatus

from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import VERBS, ApiCall, Proxied
from bastion.observe.families import (
    BUCKETS,
    Counts,
    Family,
    Histograms,
    add_duration,
    counter,
    histogram,
    no_counts,
)
from bastion.observe.record import MOST_KEPT, Record

MAX_SERIES = 4096  # label sets kept apart; a flood of namespaces ends in one called "other"
NAMESPACE_SERIES = 64  # of one namespace; beyond them there is one series for each first digit of the code
MAX_DURATIONS = 512  # namespaces and resources whose durations are kept apart
OTHER = "other"
BACKEND, BASTION, API_SERVER = "backend", "bastion", "apiserver"

FIRST = BUCKETS[0]

_VERBS = frozenset(
    (*VERBS.values(), *(method.lower() for method in VERBS), "list", "watch", "deletecollection")
)

Key = tuple[str, str, str, str, str]
KEY = ("namespace", "resource", "verb", "code", "by")
TARGET = ("namespace", "resource", "target")

# A backend may send any number: codes that are not registered are counted by their first digit, like all
# codes of a namespace that has too many series.
_CLASSES = {code: f"{code // 100}xx" if code < 600 else OTHER for code in range(100, 1000)}
_CODES = _CLASSES | {0: "0"} | {status.value: str(status.value) for status in HTTPStatus}


class Requests:
    """`targets`: how many pods, services and nodes have series of their own, the first reached; 0: none."""

    def __init__(self, targets: int = 0) -> None:
        self._targets = targets
        # how many (in a list of one), and the durations that these are part of
        self._counts: dict[Key, tuple[Counts, Counts]] = {}
        self._series: dict[str, int] = {}  # per namespace
        self._durations: Histograms = {}
        self._stages: dict[str, Counts] = {}
        self._bytes_in = self._bytes_out = self._long = 0
        self._errors: dict[tuple[str, str], int] = {}  # by word and hop
        self._target_counts: dict[tuple[str, ...], int] = {}
        self._target_durations: Histograms = {}

    def observe(self, record: Record) -> None:
        repeated = record.repeated
        series = repeated.series.get(record.code) if repeated is not None and record.backend else None
        count, durations = series or self._series_of(record)
        count[0] += 1
        seconds = record.seconds
        # most fall into the first bucket, and a comparison is cheaper than a call
        durations[bisect_left(BUCKETS, seconds) if seconds > FIRST else 0] += 1
        durations[-1] += seconds
        stages = self._stages
        for name, seconds in record.stages.items():
            counts = stages.get(name) or stages.setdefault(name, no_counts())
            counts[bisect_left(BUCKETS, seconds) if seconds > FIRST else 0] += 1
            counts[-1] += seconds
        self._bytes_in += record.bytes_in
        self._bytes_out += record.bytes_out
        if record.word is not None:
            error = (record.word.name, str(record.word.hop))
            self._errors[error] = self._errors.get(error, 0) + 1
        if self._targets and record.endpoint and isinstance(record.info, Proxied):
            self._observe_target(record, record.info)

    def lasts(self, record: Record) -> None:
        self._long += 1

    def _series_of(self, record: Record) -> tuple[Counts, Counts]:
        repeated = record.repeated
        if repeated is None or not (record.backend and record.endpoint):
            key = self._key(record)
            return self._counts.get(key) or self._added(key)
        if len(repeated.series) >= MOST_KEPT:
            repeated.series.clear()
        key = self._key(record)
        series = repeated.series[record.code] = self._counts.get(key) or self._added(key)
        return series

    def _key(self, record: Record) -> Key:
        code, by = _CODES.get(record.code, OTHER), BACKEND if record.backend else BASTION
        if record.info is None:
            return ("", "", "", code, by)
        attributes = record.info.attributes
        if isinstance(record.info, ApiCall):
            return _key_of_call(attributes, record, code)
        # A namespace is named only once a request reached an endpoint in it: else any client could fill the
        # registry.
        return (
            attributes.namespace if record.endpoint else "",
            attributes.resource,
            attributes.verb,
            code,
            by,
        )

    def _added(self, key: Key) -> tuple[Counts, Counts]:
        namespace, resource, verb, code, by = key
        if self._series.get(namespace, 0) >= NAMESPACE_SERIES and code.isdigit():
            key = (namespace, resource, verb, _CLASSES.get(int(code), code), by)
        if key not in self._counts and len(self._counts) >= MAX_SERIES:
            key = (OTHER, resource, verb, _CLASSES.get(int(code), code) if code.isdigit() else code, by)
        if key not in self._counts:
            self._counts[key] = [0.0], self._durations_of(key[0], key[1])
            self._series[key[0]] = self._series.get(key[0], 0) + 1
        return self._counts[key]

    def _durations_of(self, namespace: str, resource: str) -> Counts:
        known = (namespace, resource) in self._durations or len(self._durations) < MAX_DURATIONS
        return self._durations.setdefault((namespace if known else OTHER, resource), no_counts())

    def _observe_target(self, record: Record, info: Proxied) -> None:
        attributes = info.attributes
        target = (attributes.namespace, attributes.resource, _object(attributes.name))
        if target not in self._target_durations and len(self._target_durations) >= self._targets:
            target = (OTHER, attributes.resource, OTHER)
        add_duration(self._target_durations, target, record.seconds)
        key = (*target, _CLASSES.get(record.code, "0"), BACKEND if record.backend else BASTION)
        self._target_counts[key] = self._target_counts.get(key, 0) + 1

    def families(self) -> list[Family]:
        return [*self._of_all(), *(self._of_targets() if self._targets else ())]

    def _of_all(self) -> list[Family]:
        return [
            counter(
                "bastion_requests",
                "Exchanges that ended, by who made the response: a backend, an API server that a call was"
                " passed on to, or the bastion itself.",
                KEY,
                {key: count[0] for key, (count, _) in self._counts.items()},
            ),
            histogram(
                "bastion_request_duration_seconds",
                "From the head of a request to the end of its exchange.",
                KEY[:2],
                self._durations,
            ),
            histogram(
                "bastion_stage_duration_seconds",
                "What an exchange spent in each of its stages.",
                ("stage",),
                {(name,): c for name, c in self._stages.items()},
            ),
            counter(
                "bastion_body_bytes",
                "Bytes of bodies and of tunnels, from clients (in) and to them (out).",
                ("direction",),
                {("in",): self._bytes_in, ("out",): self._bytes_out},
            ),
            counter(
                "bastion_errors",
                "Exchanges that the bastion itself answered with an error, by its word and by the hop that"
                " failed (docs/reference/errors.md).",
                ("word", "hop"),
                self._errors,
            ),
            counter(
                "bastion_streams_begun",
                "Exchanges that became long: tunnels, and whatever outlives the recheck.",
                (),
                {(): self._long},
            ),
        ]

    def _of_targets(self) -> list[Family]:
        return [
            counter(
                "bastion_target_requests",
                "Exchanges that reached an endpoint, by target and class of code.",
                (*TARGET, "code", "by"),
                self._target_counts,
            ),
            histogram(
                "bastion_target_request_duration_seconds",
                "How long these took.",
                TARGET,
                self._target_durations,
            ),
        ]


def _key_of_call(attributes: Attributes, record: Record, code: str) -> Key:
    """What an API server has not said yes to may be made up."""
    by = API_SERVER if record.backend else BASTION
    verb = attributes.verb if attributes.verb in _VERBS else OTHER
    if not record.backend or record.code >= 400:
        return ("", "", verb, code, by)
    return (attributes.namespace, attributes.resource, verb, code, by)


def _object(id: str) -> str:
    """Of `[scheme:]name[:port]` the name: `web`, `web:80` and `http:web:80` are one service."""
    parts = id.split(":")
    return parts[1] if len(parts) == 3 else parts[0]
