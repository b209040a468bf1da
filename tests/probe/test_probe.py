"""/probe as its users ask it: names, labels, who may, and what is never dialled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes import run
from tests.probe.world import address, backend, may, pod, response, service, world

MODULES = """
modules:
  http_2xx: {prober: http}
  post: {prober: http, http: {method: POST}}
  secret: {prober: http, http: {bearer_token: hush}}
  bound: {prober: http, http: {bearer_token: hush}, bastion: {targets: [services/shop/web]}}
  body: {prober: http, http: {fail_if_body_not_matches_regexp: ['^o(?i)K']}}
  cel: {prober: http, http: {fail_if_body_json_not_matches_cel: 'body.up == true && body.n > 1'}}
  banner: {prober: tcp, tcp: {query_response: [{expect: '^HELLO (.+)$', send: 'BYE ${1}'}, {expect: 'bye'}]}}
  quick: {prober: http, timeout: 200ms}
"""
TRIO = [service("web"), *(pod(f"web-{n}", 10 + n) for n in range(3))]


def labels(number: int) -> str:
    return f'{{pod="web-{number}",endpoint="{address(10 + number)}:8080"}}'


def test_every_endpoint_of_a_service_is_probed_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            world(tmp_path, TRIO, MODULES) as bastion,
            backend(10, says={b"/": response()}),
            backend(11, says={b"/": response(status=503)}),
        ):
            found = await bastion.probe("services/shop/web:http")
            assert found.status == 200
            assert found.fields["content-type"].startswith("text/plain; version=0.0.4")
            success = [found.value(f"probe_success{labels(n)}") for n in range(3)]
            assert success == [1, 0, 0]
            status = [found.value(f"probe_http_status_code{labels(n)}") for n in range(3)]
            assert status == [200, 503, 0]
            one = await bastion.probe("services/shop/web:http", endpoints="one")
            assert one.value("probe_success") in (0, 1)
            assert one.text.count("\nprobe_success") == 1

    run(main())


def test_a_pod_has_the_samples_of_the_exporter(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with world(tmp_path, TRIO, MODULES) as bastion, backend(10, says={b"/": response()}):
            found = await bastion.probe("pods/shop/web-0:8080")
            return [line.split(" ")[0] for line in found.text.splitlines() if line[0] != "#"]

    phases = [
        f'probe_http_duration_seconds{{phase="{p}"}}'
        for p in ("connect", "processing", "resolve", "tls", "transfer")
    ]
    assert sorted(run(main())) == sorted(
        [
            *phases,
            "probe_dns_lookup_time_seconds",
            "probe_duration_seconds",
            "probe_failed_due_to_regex",
            "probe_http_content_length",
            "probe_http_redirects",
            "probe_http_ssl",
            "probe_http_status_code",
            "probe_http_uncompressed_body_length",
            "probe_http_version",
            "probe_ip_addr_hash",
            "probe_ip_protocol",
            "probe_success",
            "probe_timeout_seconds",
        ]
    )


def test_who_may(tmp_path: Path) -> None:
    roles = [
        *may("reader", ["get"], ["services/proxy"]),
        *may("one", ["get"], ["services/proxy"], "shop", resourceNames=["web:http"]),
    ]
    table = [
        ("", "services/shop/web:http", "http_2xx", 401),
        ("nonsense", "services/shop/web:http", "http_2xx", 401),
        ("none", "services/shop/web:http", "http_2xx", 403),
        ("none", "services/shop/absent", "http_2xx", 403),
        ("none", "services/shop/web:http", "unheard-of", 403),
        ("all", "services/shop/web:http", "unheard-of", 400),
        ("all", "services/shop/absent", "http_2xx", 404),
        ("reader", "services/shop/web:http", "http_2xx", 200),
        ("reader", "services/shop/web:http", "post", 403),
        ("reader", "pods/shop/web-0", "http_2xx", 403),
        ("one", "services/shop/web:http", "http_2xx", 200),
        ("one", "/api/v1/namespaces/shop/services/web:http/proxy/", "http_2xx", 200),
        ("one", "services/shop/http:web:http", "http_2xx", 403),
        ("one", "services/shop/web", "http_2xx", 403),
        # credentials go where the module says, and else for those alone who may open everything
        ("one", "services/shop/web:http", "secret", 403),
        ("all", "services/shop/web:http", "secret", 200),
        ("one", "services/shop/web:http", "bound", 200),
        ("all", "pods/shop/web-0", "bound", 403),
    ]

    async def main() -> list[int]:
        async with world(tmp_path, [*TRIO, *roles], MODULES) as bastion:
            return [(await bastion.probe(target, module, user)).status for user, target, module, _ in table]

    assert run(main()) == [status for *_, status in table]


def test_what_is_asked_is_not_handed_on(tmp_path: Path) -> None:
    async def main() -> bytes:
        async with (
            world(tmp_path, TRIO, MODULES) as bastion,
            backend(10, says={b"/x//../y": response()}) as there,
        ):
            found = await bastion.probe("pods/shop/web-0:8080/x//../y?q=%2F")
            assert found.value("probe_success") == 1
            return there.seen[0]

    head = run(main())
    assert head.startswith(b"GET /x//../y?q=%2F HTTP/1.1\r\n")
    assert b"uthorization" not in head
    assert b"Connection: close\r\n" in head
    assert f"Host: {address(10)}:8080\r\n".encode() in head


@pytest.mark.parametrize(
    "where",
    [
        f"http://{address(99)}:8080/",
        f"//{address(99)}:8080/",
        f"http://{address(10)}:8080@{address(99)}:8080/",
        f"http://{address(10)}:9/",
        f"https://{address(10)}:8080/",
        "http://169.254.169.254/",
        "file:///etc/passwd",
    ],
    ids=["host", "host alone", "user information", "port", "scheme", "metadata", "file"],
)
def test_a_redirect_elsewhere_is_not_followed(tmp_path: Path, where: str) -> None:
    async def main() -> None:
        says = {
            b"/": response(b"", 302, "Location: /next"),
            b"/next": response(b"", 307, f"Location: {where}"),
        }
        async with world(tmp_path, TRIO, MODULES) as bastion, backend(10, says=says), backend(99) as watched:
            found = await bastion.probe("pods/shop/web-0:8080")
            assert found.value("probe_success") == 0
            assert found.value("probe_http_status_code") == 307
            assert found.value("probe_http_redirects") == 2
            assert watched.seen == []

    run(main())


def test_an_address_that_may_not_be_dialled_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        outside = pod("away-0", 1)
        outside["status"]["podIP"] = "127.0.0.1"
        async with world(tmp_path, [service("away"), outside], MODULES) as bastion:
            assert (await bastion.probe("pods/shop/away-0:8080")).status == 400
            found = await bastion.probe("services/shop/away:http")
            assert (found.status, found.value("probe_success")) == (200, 0)

    run(main())


@pytest.mark.parametrize(
    ("module", "body", "good"),
    [
        ("body", b"ok", 1),
        ("body", b"no", 0),
        ("cel", b'{"up": true, "n": 2}', 1),
        ("cel", b'{"up": false, "n": 2}', 0),
        ("cel", b"none", 0),
    ],
    ids=str,
)
def test_the_body_is_looked_at(tmp_path: Path, module: str, body: bytes, good: int) -> None:
    async def main() -> float | None:
        async with world(tmp_path, TRIO, MODULES) as bastion, backend(10, says={b"/": response(body)}):
            return (await bastion.probe("pods/shop/web-0:8080", module)).value("probe_success")

    assert run(main()) == good


def test_a_dialogue_over_tcp(tmp_path: Path) -> None:
    async def main() -> None:
        heard: list[bytes] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"noise\r\nHELLO you\r\n")
            heard.append(await reader.readline())
            writer.write(b"goodbye")

        async with world(tmp_path, TRIO, MODULES) as bastion, backend(10, greets=talk):
            found = await bastion.probe("pods/shop/web-0:8080", "banner")
            assert found.value("probe_success") == 1
            assert heard == [b"BYE you\n"]

    run(main())


def test_the_time_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)

        async with world(tmp_path, TRIO, MODULES) as bastion, backend(10, greets=silent):
            found = await bastion.probe("pods/shop/web-0:8080", "quick")
            assert found.value("probe_success") == 0
            assert 0.15 < (found.value("probe_duration_seconds") or 0) < 5

    run(main())


def test_without_any_time_a_probe_fails_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, TRIO, MODULES) as bastion, backend(10, says={b"/": response()}) as there:
            for module, success in (("http_2xx", 0), ("banner", 0)):
                found = await bastion.get(
                    f"/probe?target=pods/shop/web-0:8080&module={module}",
                    x_prometheus_scrape_timeout_seconds="0.3",
                )
                assert (found.status, found.value("probe_success")) == (200, success)
            assert there.seen == []

    run(main())


def test_one_probe_of_an_endpoint_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        waiting = asyncio.Event()
        count = 0

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            count += 1
            await reader.readuntil(b"\r\n\r\n")
            await waiting.wait()
            writer.write(response())

        async with world(tmp_path, TRIO, MODULES) as bastion, backend(10, greets=slow):
            asks = [asyncio.create_task(bastion.probe("pods/shop/web-0:8080")) for _ in range(5)]
            while not count:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            waiting.set()
            assert [one.value("probe_success") for one in await asyncio.gather(*asks)] == [1] * 5
            assert count == 1

    run(main())


def test_what_the_pod_declares(tmp_path: Path) -> None:
    get = {"httpGet": {"path": "/ready", "port": "http", "host": "127.0.0.1"}}
    objects = [
        service("web"),
        pod("web-0", 10, readinessProbe=get),
        pod("web-1", 11, readinessProbe={"exec": {"command": ["x"]}}),
        pod("web-2", 12, livenessProbe={"httpGet": {"path": "/live", "port": 8080}}),
    ]

    async def main() -> None:
        says = {b"/ready": response(status=399), b"/live": response(status=400)}
        async with (
            world(tmp_path, objects) as bastion,
            backend(10, says=says) as ready,
            backend(11),
            backend(12, says=says),
        ):
            found = await bastion.probe("services/shop/web:http", "declared")
            assert [found.value(f"probe_success{labels(n)}") for n in range(3)] == [1, 1, 0]
            assert b"User-Agent: kube-probe/" in ready.seen[0]

    run(main())


def test_debug_shows_log_metrics_and_module_without_secrets(tmp_path: Path) -> None:
    async def main() -> str:
        async with world(tmp_path, TRIO, MODULES) as bastion:
            return (await bastion.probe("services/shop/web:http", "secret", debug="true")).text

    text = run(main())
    assert text.startswith("Logs for the probe:\n")
    assert "Metrics that would have been returned:\n" in text
    assert "Module configuration:\nprober: http" in text
    assert "connection refused" in text
    assert "hush" not in text


@pytest.mark.parametrize(
    "path", ["/probe", "/probe?target=", "/probe?target=a&target=b", "/probe?target=http://x/"]
)
def test_what_cannot_be_read(tmp_path: Path, path: str) -> None:
    async def main() -> int:
        async with world(tmp_path, TRIO, MODULES) as bastion:
            assert (await bastion.get(path, method="POST")).status == 405
            assert (await bastion.get(f"/.bastion{path}")).status == 400
            return (await bastion.get(path)).status

    assert run(main()) == 400
