"""What is Prometheus told, and can whoever asks fill the registry?"""

import asyncio
from itertools import pairwise

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bastion.kube.requestinfo import request_info
from bastion.kube.user import User
from bastion.observe.metrics import BUCKETS, MAX_SERIES, NAMESPACE_SERIES, Metrics, Rendered
from bastion.observe.record import Record
from tests.fakes import ClockLoop, pass_time, run

WEB = b"/api/v1/namespaces/ns/services/web/proxy/secret-path"


def observed(*records, gauges=dict):
    metrics = Metrics(gauges)
    for one in records:
        metrics.observe(one)
    return metrics


def samples(metrics, name):
    """{labels: value} of the samples of this name."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def labels(**values):
    return tuple(sorted(values.items()))


def record(target=WEB, method="GET", code=200, endpoint="10.0.0.1:80", **values):
    one = Record(method, target, "192.0.2.1", "audit-id")
    one.info, one.code, one.endpoint = request_info(method, target), code, endpoint
    one.user = User("jane")
    for name, value in values.items():
        setattr(one, name, value)
    return one


COUNTED = [
    pytest.param(record(), {"namespace": "ns", "resource": "services", "verb": "get", "code": "200"}, id="served"),
    pytest.param(
        record(method="POST", code=500), {"namespace": "ns", "resource": "services", "verb": "create", "code": "500"}, id="created"
    ),
    pytest.param(record(method="OPTIONS"), {"namespace": "ns", "resource": "services", "verb": "", "code": "200"}, id="the-empty-verb"),
    pytest.param(
        record(code=404, endpoint=""),
        {"namespace": "", "resource": "services", "verb": "get", "code": "404"},
        id="a-namespace-that-may-not-be",
    ),
    pytest.param(record(b"/nothing", code=404, endpoint=""), {"namespace": "", "resource": "", "verb": "", "code": "404"}, id="no-route"),
    pytest.param(record(code=0), {"namespace": "ns", "resource": "services", "verb": "get", "code": "0"}, id="no-answer"),
    pytest.param(
        record(b"/api/v1/nodes/n/proxy/metrics"), {"namespace": "", "resource": "nodes", "verb": "get", "code": "200"}, id="a-node"
    ),
]


@pytest.mark.parametrize(("one", "expected"), COUNTED)
def test_an_exchange_is_counted_by_what_it_was(one, expected):
    assert samples(observed(one, one), "bastion_requests_total") == {labels(**expected): 2.0}


def test_neither_paths_nor_users_nor_addresses_are_labels():
    text = observed(record()).text().decode()
    for secret in ("secret-path", "jane", "192.0.2.1", "10.0.0.1", "audit-id", "web"):
        assert secret not in text


def test_a_flood_of_namespaces_ends_in_one():
    flood = [record(b"/api/v1/namespaces/n%d/pods/p/proxy" % i) for i in range(MAX_SERIES + 100)]
    counted = samples(observed(*flood, flood[0]), "bastion_requests_total")
    assert len(counted) <= MAX_SERIES + 1
    assert counted[labels(namespace="other", resource="pods", verb="get", code="2xx")] == 100.0
    assert counted[labels(namespace="n0", resource="pods", verb="get", code="200")] == 2.0
    assert sum(counted.values()) == MAX_SERIES + 101


def test_a_flood_of_unknown_namespaces_is_none():
    flood = [record(b"/api/v1/namespaces/n%d/pods/p/proxy" % i, code=403, endpoint="") for i in range(1000)]
    assert samples(observed(*flood), "bastion_requests_total") == {labels(namespace="", resource="pods", verb="get", code="403"): 1000.0}


UNREGISTERED = [(299, "2xx"), (420, "4xx"), (599, "5xx"), (600, "other"), (999, "other"), (200, "200"), (418, "418"), (0, "0")]


@pytest.mark.parametrize(("code", "label"), UNREGISTERED)
def test_codes_that_nobody_registered_are_grouped(code, label):
    counted = samples(observed(record(code=code)), "bastion_requests_total")
    assert list(counted) == [labels(namespace="ns", resource="services", verb="get", code=label)]


def test_one_namespace_cannot_crowd_out_the_others():
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
    assert sum(dict(key)["namespace"] == "mallory" for key in counted) <= NAMESPACE_SERIES + 2 * len(methods) * 6
    assert all(labels(namespace=f"n{n}", resource="pods", verb="get", code="200") in counted for n in range(1000))
    assert sum(counted.values()) == len(flood) + 1000


def test_whatever_happens_the_series_are_bounded():
    flood = [record(b"/api/v1/namespaces/n%d/pods/p/proxy" % n, code=100 + n % 900) for n in range(2 * MAX_SERIES)]
    assert len(samples(observed(*flood), "bastion_requests_total")) <= MAX_SERIES + 100


def test_it_is_rendered_once_a_second_for_all_who_ask():
    rendered = []

    def render():
        rendered.append(asyncio.get_running_loop().time())
        return b"%d" % len(rendered)

    async def main():
        text = Rendered(render)
        assert [await text(), len(rendered)] == [b"1", 1]
        waiting = [asyncio.ensure_future(text()) for _ in range(100)]
        await pass_time(0.9)
        assert not any(one.done() for one in waiting)
        waiting[0].cancel()  # whoever leaves takes nothing from the others
        await pass_time(0.2)
        assert {one.result() for one in waiting[1:]} == {b"2"}
        await pass_time(60)
        assert await text() == b"3"
        assert all(later - before >= 1 for before, later in pairwise(rendered))

    run(main(), ClockLoop)


def test_durations_are_cumulated_in_buckets():
    metrics = observed(*(record(seconds=seconds) for seconds in (0.0005, 0.001, 0.0011, 0.2, 1000.0)))
    buckets = samples(metrics, "bastion_request_duration_seconds_bucket")
    assert len(buckets) == len(BUCKETS) + 1
    counts = {bound: buckets[labels(resource="services", le=bound)] for bound in ("0.001", "0.0025", "0.1", "0.25", "300.0", "+Inf")}
    assert counts == {"0.001": 2, "0.0025": 3, "0.1": 3, "0.25": 4, "300.0": 4, "+Inf": 5}
    assert samples(metrics, "bastion_request_duration_seconds_count") == {labels(resource="services"): 5}
    assert samples(metrics, "bastion_request_duration_seconds_sum")[labels(resource="services")] == pytest.approx(1000.2026)


def test_stages_and_bytes_add_up():
    metrics = observed(
        record(stages={"authentication": 0.5, "upstream": 1.0}, bytes_in=1, bytes_out=10),
        record(stages={"upstream": 2.0}, bytes_in=2, bytes_out=20),
    )
    assert samples(metrics, "bastion_stage_seconds_total") == {labels(stage="authentication"): 0.5, labels(stage="upstream"): 3.0}
    assert samples(metrics, "bastion_body_bytes_total") == {labels(direction="in"): 3.0, labels(direction="out"): 30.0}


def test_gauges_are_asked_for_when_somebody_looks():
    values = {"requests_in_flight": 1.0}
    metrics = observed(gauges=lambda: values)
    assert samples(metrics, "bastion_requests_in_flight") == {(): 1.0}
    values["requests_in_flight"] = 2.0
    assert samples(metrics, "bastion_requests_in_flight") == {(): 2.0}


def test_the_process_is_told_of_too():
    assert samples(observed(), "process_open_fds")[()] > 0


def test_two_in_one_process_do_not_meet():
    first, second = observed(record()), observed()
    assert samples(first, "bastion_requests_total")
    assert not samples(second, "bastion_requests_total")


def test_before_the_first_exchange_there_is_something_to_read():
    assert observed().text().endswith(b"\n")
