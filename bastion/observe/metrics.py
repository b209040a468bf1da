"""What Prometheus is told: requests by namespace, resource, verb and code; never a path or a user as a label.

Counted in plain dictionaries, because every request passes here; prometheus-client is given them when it is asked.  But
for the requests: thousands of series took it 50 ms, in which nobody else is served, so their lines are written here.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from bastion.observe.record import Record

MAX_SERIES = 4096  # label sets kept apart; a flood of namespaces ends in one called "other"
NAMESPACE_SERIES = 64  # of one namespace; beyond them codes are told apart by their first digit only
RENDER_SECONDS = 1.0
_REQUESTS = "bastion_requests"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

Labels = tuple[str, str, str, str]  # namespace, resource, verb, code
Values = Callable[[], Mapping[tuple[str, ...], float]]  # by the values of the labels

# A backend says whatever number it likes: those that nobody registered are told apart by their first digit, like all codes
# of a namespace that has too many.
_CLASSES = {code: f"{code // 100}xx" if code < 600 else "other" for code in range(100, 1000)}
_CODES = _CLASSES | {0: "0"} | {status.value: str(status.value) for status in HTTPStatus}
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Metrics:
    """A registry of its own, so that two of these in one process do not meet.  `gauges` is asked for when somebody looks."""

    def __init__(self, gauges: Callable[[], dict[str, float]]) -> None:
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)
        self._gauges = gauges
        self._labelled: list[tuple[str, str, tuple[str, ...], Values]] = []
        self._requests: dict[Labels, int] = {}
        self._lines: dict[Labels, str] = {}  # of the text, up to the count
        self._series: dict[str, int] = {}  # per namespace
        self._durations: dict[str, list[float]] = {}  # per resource: a count per bucket, the last beyond all, and the sum
        self._stages: dict[str, float] = {}
        self._bytes_in = self._bytes_out = 0

    def add_gauge(self, name: str, help: str, labels: tuple[str, ...], values: Values) -> None:
        """A gauge with labels; `values` is asked for when somebody looks."""
        self._labelled.append((name, help, labels, values))

    def observe(self, record: Record) -> None:
        key = self._labels(record)
        if key not in self._requests:
            key = self._added(key)
        self._requests[key] += 1
        durations = self._durations.get(key[1])
        if durations is None:
            durations = self._durations[key[1]] = [0.0] * (len(BUCKETS) + 2)
        durations[bisect_left(BUCKETS, record.seconds)] += 1
        durations[-1] += record.seconds
        stages = self._stages
        for name, seconds in record.stages.items():
            stages[name] = stages.get(name, 0.0) + seconds
        self._bytes_in += record.bytes_in
        self._bytes_out += record.bytes_out

    def _labels(self, record: Record) -> Labels:
        code = _CODES.get(record.code, "other")
        if record.info is None:
            return ("", "", "", code)
        attributes = record.info.attributes
        # A namespace is named only once a request reached something in it: else whoever asks could fill the registry.
        return (attributes.namespace if record.endpoint else "", attributes.resource, attributes.verb, code)

    def _added(self, key: Labels) -> Labels:
        """Nothing that a client, a user or a backend makes up crowds out what is told of the others."""
        namespace, resource, verb, code = key
        if self._series.get(namespace, 0) >= NAMESPACE_SERIES and code.isdigit():
            key = (namespace, resource, verb, _CLASSES.get(int(code), code))
        if key not in self._requests and len(self._requests) >= MAX_SERIES:
            key = ("other", resource, verb, _CLASSES.get(int(code), code) if code.isdigit() else code)
        if key not in self._requests:
            self._requests[key] = 0
            self._series[key[0]] = self._series.get(key[0], 0) + 1
            named = zip(("namespace", "resource", "verb", "code"), key, strict=True)
            labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in named)
            self._lines[key] = f"{_REQUESTS}_total{{{labels}}} "
        return key

    def add(self, collector: Collector) -> None:
        """What somebody else counts."""
        self._registry.register(collector)

    def text(self) -> bytes:
        counts = "".join([f"{self._lines[key]}{count}.0\n" for key, count in self._requests.items()])
        head = f"# HELP {_REQUESTS}_total Exchanges that ended\n# TYPE {_REQUESTS}_total counter\n"
        return (head + counts).encode() + generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus-client."""
        seconds = HistogramMetricFamily("bastion_request_duration_seconds", "From the head to the end of an exchange", labels=("resource",))
        for resource, counts in self._durations.items():
            seconds.add_metric((resource,), _cumulated(counts), counts[-1])
        yield seconds
        stages = CounterMetricFamily("bastion_stage_seconds", "Time spent in each stage", labels=("stage",))
        for stage, total in self._stages.items():
            stages.add_metric((stage,), total)
        yield stages
        size = CounterMetricFamily("bastion_body_bytes", "Bytes of bodies, from clients (in) and to them (out)", labels=("direction",))
        size.add_metric(("in",), self._bytes_in)
        size.add_metric(("out",), self._bytes_out)
        yield size
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"bastion_{name}", name.replace("_", " "), value=value)
        for name, help, labels, values in self._labelled:
            family = GaugeMetricFamily(f"bastion_{name}", help, labels=labels)
            for label, value in values().items():
                family.add_metric(label, value)
            yield family


class Rendered:
    """What is rendered, at most once a second, for all who wait for it: never old, and a thousand who ask pay for one."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._next: asyncio.Task[bytes] | None = None

    async def __call__(self) -> bytes:
        if self._next is None:
            self._next = self._loop.create_task(self._when_due())
        return await asyncio.shield(self._next)

    async def _when_due(self) -> bytes:
        await asyncio.sleep(self._due - self._loop.time())
        self._next = None
        self._due = self._loop.time() + RENDER_SECONDS
        return self._render()


def _cumulated(counts: list[float]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=False):
        total += count
        buckets.append((bound, total))
    return buckets
