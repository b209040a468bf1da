"""Metrics of the process itself: memory, processor time, descriptors, garbage collections, as
prometheus-client counts them.
"""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from bastion import __version__
from bastion.observe.families import Family, Kind, Together, gauge


class Process:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def families(self) -> list[Family]:
        version = (__version__, platform.python_version(), platform.python_implementation().lower())
        help, names = "1, and what runs.", ("version", "python_version", "implementation")
        return [gauge("bastion_build_info", help, names, {version: 1.0}, Together.MOST), *self._collected()]

    def _collected(self) -> list[Family]:
        found = []
        for metric in self._registry.collect():
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            labels = tuple(metric.samples[0].labels) if metric.samples else ()
            samples = {tuple(one.labels.values()): one.value for one in metric.samples if one.name == name}
            found.append(
                Family(name, Kind(metric.type), metric.documentation, labels, {**samples}, Together.APART)
            )
        return found
