"""The embedded API as a process of its own, and what it was asked for so far.

`python -m tests.conformance.api MANIFESTS TOKENS KUBECONFIG` writes the kubeconfig, says so with a line,
answers every line with its counts as JSON, and ends with its input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bastion.standalone.apiserver import ApiServer

ROOT = Path(__file__).parent.parent.parent


class CountedApi:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def calls(self) -> Counter[str]:
        """By kind: `list pods`, `watch pods`, `get pods`, `tokenreviews`, …"""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counter(json.loads(self.line()))

    def line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the API server has ended"
        return line


@contextlib.contextmanager
def counted_api(manifests: Path, tokens: Path, kubeconfig: Path) -> Iterator[CountedApi]:
    command = [sys.executable, "-m", "tests.conformance.api", str(manifests), str(tokens), str(kubeconfig)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with process:  # leaving it closes the input, and waits
        api = CountedApi(process)
        api.line()
        yield api


async def main(manifests: Path, tokens: Path, kubeconfig: Path) -> None:
    async with ApiServer([manifests], tokens) as server:
        kubeconfig.write_text(server.kubeconfig())
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(server.calls), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*map(Path, sys.argv[1:])))
