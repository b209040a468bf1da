"""What probes and scrapers are told: /healthz, /livez, healthCheckNodePorts, metrics, and the port they are
read from.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from bastion.network.responder import Page, Responder
from bastion.node.health import Health, healthz, moment, service_health
from bastion.node.metrics import SYNC_BUCKETS, Metrics
from bastion.node.model import Model
from bastion.node.pages import HealthPages, MetricsPages
from tests.loopback import free_port
from tests.node.build import endpoint, endpoints, node, service

SECOND = 10**9


def test_healthy_until_a_change_waits_too_long() -> None:
    health = Health(("IPv4", "IPv6"), patience=60)
    assert health.healthy(0)
    health.queued("IPv4", 10 * SECOND)
    health.queued("IPv4", 50 * SECOND)  # the first counts
    assert health.healthy(69 * SECOND)
    assert not health.healthy(70 * SECOND)
    assert health.state(70 * SECOND)["IPv6"] == (70 * SECOND, True)
    health.synced("IPv4", 69 * SECOND, 71 * SECOND)
    assert health.healthy(500 * SECOND)


def test_what_came_while_a_sync_ran_still_waits() -> None:
    health = Health(("IPv4",), patience=60)
    health.queued("IPv4", 20 * SECOND)
    health.synced("IPv4", 10 * SECOND, 21 * SECOND)
    assert not health.healthy(80 * SECOND)


@pytest.mark.parametrize(
    ("eligible", "late", "status"),
    [(True, False, 200), (False, False, 503), (None, False, 200), (None, True, 503)],
)
def test_answers(eligible: bool | None, late: bool, status: int) -> None:
    health = Health(("IPv4",), patience=1)
    if late:
        health.queued("IPv4", 0)
    found, body = healthz(health, 5 * SECOND, eligible)
    said = json.loads(body)
    assert found == status
    assert said.get("nodeEligible") is eligible
    assert said["healthy"] is not late
    assert said["status"]["IPv4"]["healthy"] is not late
    assert said["currentTime"] == "1970-01-01T00:00:05.000000000Z"


def test_moments_have_nanoseconds() -> None:
    assert moment(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456789Z"


def test_a_load_balancers_check() -> None:
    status, body, fields = service_health(("shop", "web"), 2, healthy=True)
    assert (status, fields["X-Load-Balancing-Endpoint-Weight"]) == (200, "2")
    assert json.loads(body) == {
        "service": {"namespace": "shop", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    assert b"\n\t" in body
    assert service_health(("shop", "web"), 0, healthy=True)[0] == 503
    assert service_health(("shop", "web"), 2, healthy=False)[0] == 503


def model() -> Model:
    made = Model("node1", lambda: None)
    made.put_service(("shop", "web"), service(internalTrafficPolicy="Local"))
    made.put_slice(("shop", "web-1"), endpoints(endpoint("10.244.2.10", "node2")))
    return made


@pytest.mark.parametrize(
    ("objects", "status"),
    [
        ([], 503),
        ([node()], 200),
        ([node(), None], 200),  # the last one seen counts
        ([node(spec={"taints": [{"key": "ToBeDeletedByClusterAutoscaler"}]})], 503),
        ([node(spec={"taints": [{"key": "node.kubernetes.io/not-ready"}]})], 200),
        ([node(metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})], 503),
    ],
)
def test_the_node_decides_about_healthz_alone(objects: list[object], status: int) -> None:
    known = model()
    for one in objects:
        known.put_node(one)  # type: ignore[arg-type]
    metrics = Metrics()
    pages = HealthPages(Health(("IPv4",), 60), known, metrics)
    assert pages("/healthz").status == status
    assert pages("/livez").status == 200
    assert pages("/metrics").status == 404
    assert f'kubeproxy_proxy_healthz_total{{code="{status}"}} 1' in metrics.text().decode()


def test_metrics() -> None:
    known = model()
    known.take("IPv4")
    metrics = Metrics()
    metrics.observe("sync_proxy_rules_duration_seconds", 0.003, ip_family="IPv4")
    text = MetricsPages("nftables", metrics, known, {}, profiling=False)("/metrics").body.decode()
    lines = text.splitlines()
    name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
    assert f'{name}{{ip_family="IPv4",traffic_policy="internal"}} 1' in lines
    assert f'{name}{{ip_family="IPv4",traffic_policy="external"}} 0' in lines
    assert "kubeproxy_sync_proxy_rules_service_changes_total 1" in lines
    assert "kubeproxy_sync_proxy_rules_endpoint_changes_pending 1" in lines  # the other family's
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.004"} 1' in lines
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.002"} 0' in lines
    assert len([line for line in lines if "duration_seconds_bucket" in line]) == len(SYNC_BUCKETS) + 1
    assert "network_programming" not in text  # without a sample


@pytest.mark.parametrize(
    ("sent", "begins"),
    [
        (b"GET /a?x=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"POST /a HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"HEAD /a HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"GET /b HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n"),
        (b"nonsense\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET b HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET /a HTTP/1.1\r\nX: " + b"x" * 40000, b""),
        (b"GET /a HTT", b""),
    ],
)
def test_the_port(sent: bytes, begins: bytes) -> None:
    async def main() -> None:
        responder = Responder(lambda path: Page(200 if path == "/a" else 404, b"body"))
        port = free_port()
        await responder.listen(["127.0.0.1"], port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        if not begins:
            writer.write_eof()
        answer = await reader.read()
        assert answer.startswith(begins) if begins else answer == b""
        assert answer.endswith(b"body") == (
            bool(begins) and not sent.startswith(b"HEAD") and b"400" not in begins
        )
        writer.close()
        with pytest.raises(OSError, match="in use"):
            await Responder(lambda _: Page(200, b"")).listen(["127.0.0.1"], port)
        responder.close()

    asyncio.run(main())


@pytest.mark.parametrize("profiling", [True, False])
def test_profiles_are_there_where_they_are_asked_for(profiling: bool) -> None:
    async def main() -> dict[str, Page]:
        pages = MetricsPages("nftables", Metrics(), model(), {}, profiling=profiling)
        task = asyncio.create_task(asyncio.sleep(60), name="a task")
        await asyncio.sleep(0)
        paths = ("", "cmdline", "goroutine", "heap")
        found = {path: pages(f"/debug/pprof/{path}") for path in paths}
        task.cancel()
        return found

    found = asyncio.run(main())
    assert [page.status for page in found.values()] == ([200, 200, 200, 404] if profiling else [404] * 4)
    if profiling:
        assert b"python" in found["cmdline"].body
        assert b"task a task" in found["goroutine"].body
        assert b"test_health.py" in found["goroutine"].body
