"""What Prometheus is told: requests by namespace, resource, verb and code; never a path or a user as a label.

Counted in plain dictionaries, because every request passes here; prometheus-client is given them when it is asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from bastion.observe.record import Record

MAX_SERIES = 4096  # label sets kept apart; a flood of namespaces ends in one called "other"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

Labels = tuple[str, str, str, int]  # namespace, resource, verb, code
Values = Callable[[], Mapping[tuple[str, ...], float]]  # by the values of the labels


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
        self._durations: dict[str, list[float]] = {}  # per resource: a count per bucket, the last beyond all, and the sum
        self._stages: dict[str, float] = {}
        self._bytes_in = self._bytes_out = 0

    def add(self, name: str, help: str, labels: tuple[str, ...], values: Values) -> None:
        """A gauge with labels; `values` is asked for when somebody looks."""
        self._labelled.append((name, help, labels, values))

    def observe(self, record: Record) -> None:
        key = self._labels(record)
        self._requests[key] = self._requests.get(key, 0) + 1
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
        if record.info is None:
            return ("", "", "", record.code)
        attributes = record.info.attributes
        # A namespace is named only once a request reached something in it: else whoever asks could fill the registry.
        key = (attributes.namespace if record.endpoint else "", attributes.resource, attributes.verb, record.code)
        if key not in self._requests and len(self._requests) >= MAX_SERIES:
            return ("other", *key[1:])
        return key

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus-client."""
        requests = CounterMetricFamily("bastion_requests", "Exchanges that ended", labels=("namespace", "resource", "verb", "code"))
        for (namespace, resource, verb, code), count in list(self._requests.items()):
            requests.add_metric((namespace, resource, verb, str(code)), count)
        yield requests
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


def _cumulated(counts: list[float]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=False):
        total += count
        buckets.append((bound, total))
    return buckets
