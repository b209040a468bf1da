"""Does one scrape tell of all workers, and does no counter go back when one of them dies?"""

import asyncio
import contextlib

from bastion.observe.collecting import Collecting, Worker, socket_of
from bastion.observe.families import Together, counter, gauge, text
from tests.fakes import run


class Counting:
    """What one worker tells."""

    def __init__(self, count, held=1.0):
        self.count, self.held = count, held

    def families(self):
        return [
            counter("c", "C.", (), {(): self.count}),
            gauge("held", "H.", (), {(): self.held}),
            gauge("memory", "M.", (), {(): 7.0}, Together.APART),
        ]


@contextlib.asynccontextmanager
async def house(folder, workers):
    """(the supervisor's part, the workers by number); `workers`: numbers and what they tell."""
    async with contextlib.AsyncExitStack() as stack:
        collecting = Collecting(folder, [*workers])
        started = {
            number: Worker(folder, number, 100 + int(number), one.families) for number, one in workers.items()
        }
        for one in (collecting, *started.values()):
            server = await one.answering()
            stack.callback(server.close)
        yield collecting, started


async def told(worker):
    lines = text(await worker.of_all()).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_whichever_worker_is_asked_tells_of_all(tmp_path):
    async def main():
        async with house(tmp_path, {"0": Counting(2.0), "1": Counting(3.0)}) as (_, workers):
            for worker in workers.values():
                assert await told(worker) == {
                    "bastion_workers": "2.0",
                    "c_total": "5.0",
                    "held": "2.0",
                    'memory{worker="0"}': "7.0",
                    'memory{worker="1"}': "7.0",
                }

    run(main())


def test_what_a_worker_had_counted_when_it_died_counts_on(tmp_path):
    async def main():
        async with house(tmp_path, {"0": Counting(2.0), "1": Counting(3.0)}) as (_, workers):
            await told(workers["0"])
            socket_of(tmp_path, "1").unlink()  # it died
            alone = await told(workers["0"])
            assert (alone["bastion_workers"], alone["c_total"], alone["held"]) == ("1.0", "5.0", "1.0")
            successor = Counting(1.0)
            server = await Worker(tmp_path, "1", 999, successor.families).answering()
            for more in (1.0, 4.0):
                successor.count = more
                again = await told(workers["0"])
                assert (again["bastion_workers"], again["c_total"], again["held"]) == (
                    "2.0",
                    str(5.0 + more),
                    "2.0",
                )
            server.close()

    run(main())


def test_without_the_supervisor_a_worker_tells_of_itself(tmp_path):
    async def main():
        worker = Worker(tmp_path, "3", 1, Counting(2.0).families)
        assert await told(worker) == {"c_total": "2.0", "held": "1.0", 'memory{worker="3"}': "7.0"}

    run(main())


def test_a_worker_that_hangs_is_not_waited_for(tmp_path):
    async def main():
        async with house(tmp_path, {"0": Counting(2.0), "1": Counting(3.0)}) as (_, workers):
            await told(workers["0"])
            socket_of(tmp_path, "1").unlink()

            async def hang(reader, writer):
                await reader.read()
                writer.close()

            server = await asyncio.start_unix_server(hang, socket_of(tmp_path, "1"))
            assert (await told(workers["0"]))["c_total"] == "5.0"
            server.close()

    run(main())
