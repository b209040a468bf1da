"""What is Prometheus told of requests, and can whoever asks fill the registry?"""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bastion.kube.requestinfo import parse_proxied
from bastion.kube.user import User
from bastion.observe.families import BUCKETS, text
from bastion.observe.record import Record
from bastion.observe.requests import MAX_DURATIONS, MAX_SERIES, NAMESPACE_SERIES, Requests

WEB = b"/api/v1/namespaces/ns/services/web/proxy/secret-path"


def observed(*records: Any, targets: int = 0) -> Any:
    requests = Requests(targets)
    for one in records:
        requests.observe(one)
    return requests


def told(requests: Any) -> Any:
    return text(requests.families()).decode()


def samples(metrics: Any, name: Any) -> Any:
    """{labels: value} of the samples of this name."""
    found = {}
    for family in text_string_to_metric_families(told(metrics)):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def labels(**values: Any) -> Any:
    return tuple(sorted(values.items()))


def record(
    target: Any = WEB, method: str = "GET", code: int = 200, endpoint: str = "10.0.0.1:80", **values: Any
) -> Any:
    one = Record(method, target, "192.0.2.1", "audit-id")
    one.info, one.code, one.endpoint = parse_proxied(method, target), code, endpoint
    one.user, one.backend = User("jane"), True
    for name, value in values.items():
        setattr(one, name, value)
    return one


COUNTED = [
    pytest.param(
        record(),
        {"namespace": "ns", "resource": "services", "verb": "get", "code": "200", "by": "backend"},
        id="served",
    ),
    pytest.param(
        record(method="POST", code=500),
        {"namespace": "ns", "resource": "services", "verb": "create", "code": "500", "by": "backend"},
        id="created",
    ),
    pytest.param(
        record(method="OPTIONS"),
        {"namespace": "ns", "resource": "services", "verb": "", "code": "200", "by": "backend"},
        id="the-empty-verb",
    ),
    pytest.param(
        record(code=404, endpoint=""),
        {"namespace": "", "resource": "services", "verb": "get", "code": "404", "by": "backend"},
        id="a-namespace-that-may-not-be",
    ),
    pytest.param(
        record(b"/nothing", code=404, endpoint=""),
        {"namespace": "", "resource": "", "verb": "", "code": "404", "by": "backend"},
        id="no-route",
    ),
    pytest.param(
        record(code=0),
        {"namespace": "ns", "resource": "services", "verb": "get", "code": "0", "by": "backend"},
        id="no-answer",
    ),
    pytest.param(
        record(b"/api/v1/nodes/n/proxy/metrics"),
        {"namespace": "", "resource": "nodes", "verb": "get", "code": "200", "by": "backend"},
        id="a-node",
    ),
]


@pytest.mark.parametrize(("one", "expected"), COUNTED)
def test_an_exchange_is_counted_by_what_it_was(one: Any, expected: Any) -> None:
    assert samples(observed(one, one), "bastion_requests_total") == {labels(**expected): 2.0}


def test_neither_paths_nor_users_nor_addresses_are_labels() -> None:
    text = told(observed(record()))
    for secret in ("secret-path", "jane", "192.0.2.1", "10.0.0.1", "audit-id", "web"):
        assert secret not in text


def test_a_flood_of_namespaces_ends_in_one() -> None:
    flood = [record(b"/api/v1/namespaces/n%d/pods/p/proxy" % i) for i in range(MAX_SERIES + 100)]
    counted = samples(observed(*flood, flood[0]), "bastion_requests_total")
    assert len(counted) <= MAX_SERIES + 1
    assert counted[labels(namespace="other", resource="pods", verb="get", code="2xx", by="backend")] == 100.0
    assert counted[labels(namespace="n0", resource="pods", verb="get", code="200", by="backend")] == 2.0
    assert sum(counted.values()) == MAX_SERIES + 101


def test_a_flood_of_unknown_namespaces_is_none() -> None:
    flood = [record(b"/api/v1/namespaces/n%d/pods/p/proxy" % i, code=403, endpoint="") for i in range(1000)]
    assert samples(observed(*flood), "bastion_requests_total") == {
        labels(namespace="", resource="pods", verb="get", code="403", by="backend"): 1000.0
    }


UNREGISTERED = [
    (299, "2xx"),
    (420, "4xx"),
    (599, "5xx"),
    (600, "other"),
    (999, "other"),
    (200, "200"),
    (418, "418"),
    (0, "0"),
]


@pytest.mark.parametrize(("code", "label"), UNREGISTERED)
def test_codes_that_nobody_registered_are_grouped(code: Any, label: Any) -> None:
    counted = samples(observed(record(code=code)), "bastion_requests_total")
    assert list(counted) == [
        labels(namespace="ns", resource="services", verb="get", code=label, by="backend")
    ]


def test_one_namespace_cannot_crowd_out_the_others() -> None:
    """Its backends answer with every code there is, to every verb."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    flood = [
        record(b"/api/v1/namespaces/mallory/%b/x/proxy" % resource, method, code)
        for resource in (b"pods", b"services")
        for method in methods
        for code in range(100, 1000)
    ]
    metrics = observed(*flood)
    for n in range(1000):
        metrics.observe(record(b"/api/v1/namespaces/n%d/pods/p/proxy" % n))
    counted = samples(metrics, "bastion_requests_total")
    assert (
        sum(dict(key)["namespace"] == "mallory" for key in counted) <= NAMESPACE_SERIES + 2 * len(methods) * 6
    )
    assert all(
        labels(namespace=f"n{n}", resource="pods", verb="get", code="200", by="backend") in counted
        for n in range(1000)
    )
    assert sum(counted.values()) == len(flood) + 1000


def test_whatever_happens_the_series_are_bounded() -> None:
    flood = [
        record(b"/api/v1/namespaces/n%d/pods/p/proxy" % n, code=100 + n % 900) for n in range(2 * MAX_SERIES)
    ]
    assert len(samples(observed(*flood), "bastion_requests_total")) <= MAX_SERIES + 100


def test_durations_are_cumulated_in_buckets() -> None:
    metrics = observed(*(record(seconds=seconds) for seconds in (0.0005, 0.001, 0.0011, 0.2, 1000.0)))
    buckets = samples(metrics, "bastion_request_duration_seconds_bucket")
    assert len(buckets) == len(BUCKETS) + 1
    counts = {
        bound: buckets[labels(namespace="ns", resource="services", le=bound)]
        for bound in ("0.001", "0.0025", "0.1", "0.25", "300.0", "+Inf")
    }
    assert counts == {"0.001": 2, "0.0025": 3, "0.1": 3, "0.25": 4, "300.0": 4, "+Inf": 5}
    services = labels(namespace="ns", resource="services")
    assert samples(metrics, "bastion_request_duration_seconds_count") == {services: 5}
    assert samples(metrics, "bastion_request_duration_seconds_sum")[services] == pytest.approx(1000.2026)


def test_stages_and_bytes_add_up() -> None:
    metrics = observed(
        record(stages={"authentication": 0.5, "upstream": 1.0}, bytes_in=1, bytes_out=10),
        record(stages={"upstream": 2.0}, bytes_in=2, bytes_out=20),
    )
    stages = "bastion_stage_duration_seconds"
    assert samples(metrics, f"{stages}_sum") == {
        labels(stage="authentication"): 0.5,
        labels(stage="upstream"): 3.0,
    }
    assert samples(metrics, f"{stages}_count") == {
        labels(stage="authentication"): 1,
        labels(stage="upstream"): 2,
    }
    assert samples(metrics, "bastion_body_bytes_total") == {
        labels(direction="in"): 3.0,
        labels(direction="out"): 30.0,
    }


def test_what_becomes_long_is_counted() -> None:
    requests = observed()
    requests.lasts(record())
    assert samples(requests, "bastion_streams_begun_total") == {(): 1.0}


BY = [(True, 502, "backend"), (False, 502, "bastion"), (False, 0, "bastion")]


@pytest.mark.parametrize(("backend", "code", "by"), BY)
def test_errors_of_a_backend_are_apart_from_the_bastions_own(backend: Any, code: Any, by: Any) -> None:
    counted = samples(observed(record(code=code, backend=backend)), "bastion_requests_total")
    assert counted == {labels(namespace="ns", resource="services", verb="get", code=str(code), by=by): 1.0}


def test_durations_are_apart_by_namespace_and_bounded() -> None:
    flood = [
        record(b"/api/v1/namespaces/n%d/pods/p/proxy" % i, seconds=0.1) for i in range(MAX_DURATIONS + 50)
    ]
    counted = samples(observed(*flood), "bastion_request_duration_seconds_count")
    assert len(counted) <= MAX_DURATIONS + 1
    assert counted[labels(namespace="n0", resource="pods")] == 1
    assert counted[labels(namespace="other", resource="pods")] == 50


# --- targets, which are told apart where somebody asked for it


def test_targets_are_not_told_apart_unless_asked_for() -> None:
    assert "bastion_target" not in told(observed(record()))


SPELLINGS = (b"web", b"web:80", b"http:web:80", b"https:web:")


def test_a_target_is_an_object_however_it_is_spelled() -> None:
    requests = observed(
        *(record(b"/api/v1/namespaces/ns/services/%b/proxy/" % id, seconds=1.0) for id in SPELLINGS),
        targets=5,
    )
    web = {"namespace": "ns", "resource": "services", "target": "web"}
    assert samples(requests, "bastion_target_requests_total") == {
        labels(**web, code="2xx", by="backend"): 4.0
    }
    assert samples(requests, "bastion_target_request_duration_seconds_sum") == {labels(**web): 4.0}


def test_targets_are_bounded_and_only_those_that_exist_are_named() -> None:
    flood = [record(b"/api/v1/namespaces/ns/pods/p%d/proxy" % i, code=503, backend=False) for i in range(8)]
    unreached = record(b"/api/v1/namespaces/ns/pods/made-up/proxy", code=404, endpoint="")
    counted = samples(observed(unreached, *flood, targets=5), "bastion_target_request_duration_seconds_count")
    assert counted == {
        **{labels(namespace="ns", resource="pods", target=f"p{i}"): 1.0 for i in range(5)},
        labels(namespace="other", resource="pods", target="other"): 3.0,
    }
