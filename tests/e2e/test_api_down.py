"""The API server is gone: what was decided a moment ago still serves, what was not is a 503, and nothing is
ever an allow.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import yaml

from tests.e2e.harness import ALICE, BOB, CAROL, DAVE, Bastion, Cluster, Place, serving, standalone
from tests.e2e.wire import ask, assert_status, backend, request

MINUTE = 60.0
REMEMBERED = {ALICE: 200, CAROL: 403, "guessed": 401}


def test_remembered_decisions_serve_until_they_lapse(cluster: Cluster, tmp_path: Path) -> None:
    pod, other = cluster.pod(), cluster.pod()
    (tmp_path / "api").mkdir()
    (tmp_path / "bastion").mkdir()

    async def before(bastion: Bastion) -> None:
        async with backend(pod.address) as behind:
            for token, code in REMEMBERED.items():
                assert (await ask(bastion, request(pod.path(), token=token))).status == code
            assert len(behind.requests) == 1

    async def after(bastion: Bastion) -> None:
        async with backend(pod.address) as behind:
            for token, code in REMEMBERED.items():
                assert (await ask(bastion, request(pod.path(), token=token))).status == code
            for asked in (
                request(pod.path(), token=BOB),  # a user never seen
                request(pod.path(), token=DAVE),
                request(pod.path(), token="another-guess"),
                request(other.path()),  # a question never asked
                request(pod.path(), method="POST"),
                request(pod.path(), "Impersonate-User: alice"),
            ):
                answer = await ask(bastion, asked)
                assert_status(answer, 503, "ServiceUnavailable")
                assert answer.one("Retry-After").isdigit()
                assert answer.json()["details"]["retryAfterSeconds"] == int(answer.one("Retry-After"))
            assert len(behind.requests) == 1
            await _lapsed(bastion, pod)

    with (
        standalone(cluster, tmp_path / "api") as (api, kubeconfig),
        serving(cluster, tmp_path / "bastion", source=("--kubeconfig", kubeconfig)) as bastion,
    ):
        asyncio.run(before(bastion))
        api.end()
        asyncio.run(after(bastion))
        assert bastion.passes("/livez")


async def _lapsed(bastion: Bastion, pod: Place) -> None:
    """Sooner or later (after ten seconds, but that is not measured here) what was remembered is no more."""
    given_up = time.monotonic() + MINUTE
    tokens = dict(REMEMBERED)
    while tokens:
        assert time.monotonic() < given_up, "it is remembered for ever"
        for token, before in list(tokens.items()):
            answer = await ask(bastion, request(pod.path(), token=token))
            if answer.status != before:
                assert_status(answer, 503, "ServiceUnavailable")
                del tokens[token]
        await asyncio.sleep(0.1)


def test_it_starts_without_an_api_server_and_says_what_it_waits_for(cluster: Cluster, tmp_path: Path) -> None:
    """Alive, not ready, and 503 for whatever needs a decision."""
    pod = cluster.pod()

    async def main(bastion: Bastion) -> None:
        async with backend(pod.address) as behind:
            for token in (ALICE, "guessed"):
                answer = await ask(bastion, request(pod.path(), token=token))
                assert_status(answer, 503, "ServiceUnavailable")
                assert answer.one("Retry-After").isdigit()
            assert_status(await ask(bastion, request(pod.path(), token="")), 401)
            assert not behind.visits

    with standalone(cluster, tmp_path) as (_, kubeconfig):
        pass
    (tmp_path / "bastion").mkdir()
    with serving(cluster, tmp_path / "bastion", source=("--kubeconfig", kubeconfig), ready=False) as bastion:
        readiness = bastion.get("/readyz?verbose", token="")
        assert readiness.status_code == 500
        assert "[-]pods failed: not yet read from the API server" in readiness.text
        assert bastion.get("/livez", token="").status_code == 200
        asyncio.run(main(bastion))


def test_a_bastion_that_may_not_ask_allows_nobody_and_says_what_it_lacks(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "bastion").mkdir()
    with standalone(cluster, tmp_path) as (_, kubeconfig):
        config = yaml.safe_load(kubeconfig.read_text())
        kubeconfig.write_text(yaml.safe_dump({**config, "current-context": "bob"}))
        with serving(
            cluster, tmp_path / "bastion", source=("--kubeconfig", kubeconfig), ready=False
        ) as bastion:
            answer = bastion.get(cluster.pod().path())
            assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
            assert "the bastion itself may not " in answer.json()["message"]
            assert "Retry-After" not in answer.headers
            bastion.program.until(
                lambda: "bob may not create subjectaccessreviews, tokenreviews" in bastion.program.stderr
            )
            assert (
                "kubectl create clusterrolebinding bastion-auth-delegator --clusterrole=system:auth-delegator"
                " --user=bob" in bastion.program.stderr
            )
            bastion.program.until(
                lambda: "kubectl create clusterrole bastion-discovery --verb=" in bastion.program.stderr
            )
            assert not bastion.passes("/readyz")
            readiness = bastion.get("/readyz?verbose", token="").text
            assert (
                "[-]reviews failed: the bastion itself may not create tokenreviews, subjectaccessreviews"
                in readiness
            )
            assert "[-]watch-pods failed: not yet read from the API server" in readiness
            # One cause is one line, but on a machine so busy that its consequences do not come within a
            # moment.
            assert len([line for line in bastion.log() if "answered 403" in line["msg"]]) <= 2
