"""`--config`: a file that is read again while the bastion runs."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.e2e.harness import Bastion, Cluster, serving
from tests.e2e.test_lifecycle import children, until
from tests.e2e.wire import Visit, ask, backend, request

HEAD = "apiVersion: bastion.dev/v1alpha1\nkind: BastionConfiguration\n"


async def silent(visit: Visit) -> None:
    await visit.message()
    await asyncio.Event().wait()


def test_what_may_change_counts_at_once_the_rest_is_named_and_a_mistake_changes_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    file, pod = tmp_path / "bastion.yaml", cluster.pod()
    file.write_text(HEAD + "timeouts: {responseHeader: 1h}\n")

    async def main(bastion: Bastion) -> None:
        program = bastion.program

        async def status() -> int:
            return (await ask(bastion, request(pod.path()))).status

        def said(line: str) -> bool:
            return line in program.stderr

        async with backend(pod.address, silent):
            file.write_text(HEAD + "timeouts: {responseHeader: 100ms}\nserving: {workers: 2}\n")
            await until(program, lambda: said("serving.workers: changed, needs a restart"))
            assert said(f"{file}: timeouts.responseHeader: changed")
            assert await status() == 504
            file.write_text(HEAD + "timeouts: {responseHeader: 1h, connect: soon}\nlimitz: {}\n")
            await until(program, lambda: said("what was read before stays"))
            assert said("timeouts.connect: soon is not a duration such as 30s")
            assert said("limitz: unknown section (did you mean limits?)")
            assert await status() == 504
        file.write_text(HEAD + "observing: {verbosity: 1}\n")
        program.signal(signal.SIGHUP)
        await until(program, lambda: said("observing.verbosity: changed"))
        # what a flag says stays, whatever the file does
        file.write_text(HEAD + "limits: {exchangesPerUser: 1}\nobserving: {verbosity: 0}\n")
        await until(program, lambda: program.stderr.count("observing.verbosity: changed") == 2)
        assert not said("exchangesPerUser: changed")

    flags = ("--config", file, "--max-exchanges-per-user=9")
    # the second is what a Service called bastion brings about
    environment = {"BASTION_OBSERVING_LOG_FORMAT": "text", "BASTION_PORT": "tcp://10.0.0.1:443"}
    with serving(cluster, tmp_path, *flags, environment=environment) as bastion:
        asyncio.run(main(bastion))
        assert "{" not in bastion.program.stderr


def test_a_worker_that_is_replaced_has_the_options_of_the_others_whatever_the_file_has_become(
    cluster: Cluster, tmp_path: Path
) -> None:
    file, pod = tmp_path / "bastion.yaml", cluster.pod()
    file.write_text(HEAD + "timeouts: {responseHeader: 100ms}\n")

    async def main(bastion: Bastion) -> None:
        program = bastion.program
        await until(program, lambda: program.stderr.count("serving https://") == 2)
        file.write_text(HEAD + "limitz: {}\n")
        await until(program, lambda: program.stderr.count("what was read before stays") == 2)
        for pid in children(program.process.pid):
            os.kill(pid, signal.SIGKILL)
        await until(program, lambda: program.stderr.count("serving https://") == 4)
        assert program.stderr.count("what was read before stays") == 4
        async with backend(pod.address, silent):
            assert (await ask(bastion, request(pod.path()))).status == 504

    with serving(cluster, tmp_path, "--config", file, "--workers=2") as bastion:
        asyncio.run(main(bastion))
