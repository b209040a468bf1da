"""Is a metric written as Prometheus reads it, and is what several processes tell told as one?"""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bastion.observe.families import BUCKETS, Together, add_duration, counter, gauge, histogram, merged, text


def read(families: Any) -> Any:
    """{name of a sample: {labels: value}}."""
    found: dict[Any, Any] = {}
    for family in text_string_to_metric_families(text(families).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


ODD = 'a"b\\c\nd{}é'


def test_any_value_of_a_label_comes_through() -> None:
    assert read([gauge("g", "What.\nAnd \\more.", ("b", "a"), {(ODD, "x"): 2.5})]) == {
        "g": {(("a", "x"), ("b", ODD)): 2.5}
    }


def test_a_histogram_is_cumulated() -> None:
    durations: dict[Any, Any] = {}
    for seconds in (0.0005, BUCKETS[0], 400.0):
        add_duration(durations, ("x",), seconds)
    told = read([histogram("h_seconds", "H.", ("l",), durations)])
    assert told["h_seconds_bucket"][("l", "x"), ("le", "0.001")] == 2
    assert told["h_seconds_bucket"][("l", "x"), ("le", "300.0")] == 2
    assert told["h_seconds_bucket"][("l", "x"), ("le", "+Inf")] == 3
    assert told["h_seconds_count"] == {(("l", "x"),): 3}
    assert told["h_seconds_sum"] == {(("l", "x"),): pytest.approx(400.0015)}


TOGETHER = [
    (Together.SUM, {(): 5.0}),
    (Together.MOST, {(): 3.0}),
    (Together.LEAST, {(): 2.0}),
    (Together.APART, {(("worker", "0"),): 2.0, (("worker", "1"),): 3.0}),
]


@pytest.mark.parametrize(("together", "expected"), TOGETHER)
def test_what_two_processes_tell(together: Any, expected: Any) -> None:
    told = {
        number: [gauge("g", "G.", (), {(): value}, together)] for number, value in (("0", 2.0), ("1", 3.0))
    }
    assert read(merged(told)) == {"g": expected}


def test_counters_and_histograms_add_up_and_what_was_told_stays() -> None:
    durations: dict[Any, Any] = {}
    add_duration(durations, (), 0.5)
    told = {
        number: [
            counter("c", "C.", ("l",), {("x",): 1.0, (number,): 1.0}),
            histogram("h", "H.", (), durations),
        ]
        for number in "012"
    }
    for _ in range(2):
        whole = read(merged(told))
        assert whole["c_total"] == {
            (("l", "x"),): 3.0,
            (("l", "0"),): 1.0,
            (("l", "1"),): 1.0,
            (("l", "2"),): 1.0,
        }
        assert (whole["h_count"], whole["h_sum"]) == ({(): 3.0}, {(): 1.5})
