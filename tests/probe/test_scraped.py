"""A real Prometheus scrapes probes by id, finds what asks for them, and its alerts name what is down."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.debian import lacks
from tests.loopback import free_port
from tests.probe.recorded.pods import metrics
from tests.probe.test_pages import PROBE
from tests.probe.world import NETWORK, OPEN, backend, may, pod, response, service

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yaml"
PATIENCE = 200.0  # seconds, for a busy machine: scrapes and the processes' starts take their time there
TARGETS = ("services/shop/web:http/", "services/shop/gone:http/", "pods/shop/web-0:8080/")


def job(name: str, port: int, **more: Any) -> dict[str, Any]:
    relabelling = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": f"127.0.0.1:{port}"},
    ]
    return {
        "job_name": name,
        "scheme": "https",
        "metrics_path": "/probe",
        "relabel_configs": relabelling,
        **secure(),
        **more,
    }


def secure() -> dict[str, Any]:
    return {
        "authorization": {"type": "Bearer", "credentials": "all"},
        "tls_config": {"insecure_skip_verify": True},
    }


@pytest.mark.timeout(300)
def test_prometheus(tmp_path: Path) -> None:
    if missing := lacks("prometheus"):
        pytest.skip(missing)
    port, own = free_port(), free_port()
    objects = [
        service("web", annotations=PROBE),
        *(pod(f"web-{n}", 30 + n) for n in range(2)),
        service("gone"),
        *may("all", ["get", "create"], OPEN),
        *metrics("all"),
    ]
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump_all(objects))
    (tmp_path / "tokens.csv").write_text("all,all,all\n")
    sd = {"url": f"https://127.0.0.1:{port}/probe/targets", "refresh_interval": "1s", **secure()}
    jobs = [
        job("probe", port, static_configs=[{"targets": list(TARGETS)}]),
        job("found", port, http_sd_configs=[sd]),
        {
            "job_name": "bastion",
            "scheme": "https",
            **secure(),
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        },
    ]
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    config = {
        "global": {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": jobs,
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    serve = [sys.executable, "-m", "bastion", "serve", "--manifests", str(tmp_path / "cluster.yaml")]
    serve += ["--token-auth-file", str(tmp_path / "tokens.csv"), "--port", str(port)]
    serve += ["--allow-target-cidr", f"{NETWORK}.0/24", "--probe-interval", "1s"]
    scrape = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}"]
    scrape += [f"--storage.tsdb.path={tmp_path / 'data'}", f"--web.listen-address=127.0.0.1:{own}"]

    async def main() -> None:
        processes = [await started(serve)]
        try:
            await listening(port)
            processes.append(await started(scrape))
            async with backend(30, says={b"/": response()}), httpx.AsyncClient() as client:
                await compared(client, f"http://127.0.0.1:{own}")
        finally:
            for process in processes:
                process.kill()
                await process.wait()

    asyncio.run(main())


async def started(command: list[str]) -> asyncio.subprocess.Process:
    nowhere = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(*command, stdout=nowhere, stderr=nowhere)


async def listening(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def compared(client: httpx.AsyncClient, url: str) -> None:
    """Asked again until it is so: Prometheus needs some scrapes."""
    wanted = {
        "probe": {
            (TARGETS[0], "web-0", 1),
            (TARGETS[0], "web-1", 0),
            (TARGETS[1], "", 0),
            (TARGETS[2], "", 1),
        },
        "found": {(TARGETS[0], "web-0", 1), (TARGETS[0], "web-1", 0)},
    }
    firing = {(TARGETS[0], "web-1"), (TARGETS[1], "")}
    found: Any = None
    async with asyncio.timeout(PATIENCE):
        while found != (wanted, firing):
            await asyncio.sleep(0.3)
            try:
                samples = await query(client, url, "probe_success")
                alerts = await query(
                    client, url, 'ALERTS{alertname="BastionProbeFailed",alertstate="firing",job="probe"}'
                )
            except (httpx.HTTPError, json.JSONDecodeError):
                continue
            by_job: dict[str, set[tuple[str, str, int]]] = {}
            for one in samples:
                labels = one["metric"]
                value = labels["instance"], labels.get("pod", ""), int(one["value"][1])
                by_job.setdefault(labels["job"], set()).add(value)
            found = (
                by_job,
                {(one["metric"]["instance"], one["metric"].get("pod", "")) for one in alerts},
            )
    for expression, wished in (
        ("count(up == 1)", "5"),
        ("count(up == 0) or vector(0)", "0"),
        ('service:probe_up:ratio{job="probe",instance="services/shop/web:http/"}', "0.5"),
        # of the schedule, by one scrape of the bastion's own metrics
        ('count(bastion_probe_success{namespace="shop",kind="Service",name="web"} == 1)', "1"),
        ("count(bastion_probe_success == 0)", "1"),
        ("bastion_probe_config_last_reload_successful", "1"),
    ):
        await until_it_is(client, url, expression, wished)


async def until_it_is(client: httpx.AsyncClient, url: str, expression: str, value: str) -> None:
    found: Any = None
    async with asyncio.timeout(PATIENCE):
        while found != [value]:
            found = [one["value"][1] for one in await query(client, url, expression)]
            await asyncio.sleep(0.1)


async def query(client: httpx.AsyncClient, url: str, text: str) -> list[Any]:
    answer = await client.get(f"{url}/api/v1/query", params={"query": text})
    found: list[Any] = answer.json()["data"]["result"]
    return found
