"""Who may read the metrics, where, and do they tell of all workers?"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import ALICE, CAROL, DAVE, Bastion, Cluster, Place, free_port, serving  # type: ignore[attr-defined]
from tests.e2e.test_lifecycle import children
from tests.e2e.wire import ask, backend, request

WHO = {
    "nobody": (request("/metrics", token=""), 401, "no credentials"),
    "HEAD of nobody": (request("/metrics", token="", method="HEAD"), 401, "no credentials"),
    "a token of nobody": (request("/metrics", token="of-nobody"), 401, "TokenReview: invalid bearer token"),
    "somebody who may not": (request("/metrics", token=CAROL), 403, ""),
    "as somebody who may not": (request("/metrics", "Impersonate-User: carol", token=DAVE), 403, ""),
    "somebody who may": (request("/metrics", token=ALICE), 200, None),
    "as somebody who may": (
        request("/metrics", "Impersonate-User: alice", "Impersonate-Group: devs", token=DAVE),
        200,
        None,
    ),
}


@pytest.mark.parametrize(("data", "code", "cause"), WHO.values(), ids=WHO)
def test_rbac_says_who_may_read_them(bastion: Bastion, data: bytes, code: int, cause: str | None) -> None:
    async def main() -> None:
        answer = await ask(bastion, data)
        assert answer.status == code
        if code == 200:
            assert b"bastion_requests_in_flight" in answer.body
        if cause is not None:  # who is refused is on record
            line = await asyncio.to_thread(bastion.line, answer.one("Audit-Id"))
            assert (line["code"], line["path"], line.get("cause", "")) == (code, "/metrics", cause)
            assert not cause or f'"{cause}"'.encode() not in answer.body
        if code == 403:
            assert answer.json()["message"].startswith('forbidden: User "carol" cannot get path "/metrics": ')

    asyncio.run(main())


def test_without_authorization_and_at_a_port_of_their_own(cluster: Cluster, tmp_path: Path) -> None:
    port = free_port()
    own = (
        "--metrics-authorization=false",
        "--metrics-bind-address",
        port,
        "--log-format",
        "text",
        "--metrics-targets",
        5,
    )
    pod = cluster.pod()

    async def asked(bastion: Bastion) -> None:
        async with backend(pod.address):
            assert (await ask(bastion, request(pod.path()))).status == 200
        # The port is the bastion's own: no target leads there.
        assert (await ask(bastion, request(Place("live", "127.0.0.1").path(port=port)))).status in (
            403,
            404,
            503,
        )

    with serving(cluster, tmp_path, *own) as bastion:
        asyncio.run(asked(bastion))
        assert "bastion_build_info{" in bastion.get("/metrics", token="").text
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            text = http.get("/metrics").text
            target = f'namespace="default",resource="pods",target="{pod.name}"'
            assert f'bastion_target_requests_total{{by="backend",code="2xx",{target}}} 1.0' in text
            assert f"bastion_target_request_duration_seconds_count{{{target}}} 1.0" in text
            assert "bastion_objects{" in text
            assert 'bastion_watch_age_seconds{namespace="",resource="pods"}' in text
            assert 'bastion_lists_total{namespace="",resource="pods"} 1.0' in text
            assert 'bastion_cache_lookups_total{cache="authentication",result="miss"}' in text
            assert (
                'bastion_api_requests_total{code="201",resource="subjectaccessreviews",verb="create"}' in text
            )
            for path in ("/", "/readyz", pod.path(), "/login"):
                answer = http.get(path, headers={"Authorization": f"Bearer {ALICE}"})
                assert (answer.status_code, answer.json()["reason"]) == (404, "NotFound")
        access = bastion.program.until(
            lambda: [line for line in bastion.program.stdout.splitlines() if pod.name in line]
        )
        assert re.match(
            r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{3}Z 200 GET " + re.escape(pod.path()) + r" \d+\.\d{3}ms ",
            access[0],
        )
        assert "user=alice" in access[0]
        assert re.search(r"^20\d\d-\S+Z info server: serving https://", bastion.program.stderr, re.MULTILINE)
        bastion.program.signal(signal.SIGTERM)
        assert bastion.program.wait() == 0


def test_one_scrape_tells_of_all_workers_and_of_those_that_were(cluster: Cluster, tmp_path: Path) -> None:
    pod, count = cluster.pod(), 40

    def counted(bastion: Bastion) -> float:
        found = re.findall(
            r'^bastion_requests_total\{by="backend",code="200",[^}]*resource="pods"[^}]*\} (\S+)$',
            told(bastion),
            re.MULTILINE,
        )
        return sum(map(float, found))

    def told(bastion: Bastion) -> str:
        return bastion.get("/metrics").text

    async def asked(bastion: Bastion) -> None:
        async with backend(pod.address):
            for _ in range(count):
                assert (await ask(bastion, request(pod.path()))).status == 200

    with serving(cluster, tmp_path, "--workers", 2) as bastion:
        bastion.program.until(lambda: "\nbastion_workers 2.0\n" in told(bastion))
        asyncio.run(asked(bastion))
        assert [counted(bastion) for _ in range(4)] == [count] * 4
        assert set(re.findall(r'^process_open_fds\{worker="(\d)"\}', told(bastion), re.MULTILINE)) == {
            "0",
            "1",
        }
        os.kill(children(bastion.program.process.pid)[0], signal.SIGKILL)
        bastion.program.until(lambda: bastion.program.stderr.count("serving https://") == 3)
        bastion.program.until(lambda: "\nbastion_workers 2.0\n" in told(bastion))
        assert counted(bastion) == count
