"""Starts programs on one core, in sessions of their own, and ends them whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from bench import kernel

PATIENCE = 5.0  # seconds between asking a program to end and ending it


class NotRunning(Exception):
    """A program that did not start or did not stay; the text has the end of its standard error."""


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    process: subprocess.Popen[bytes]
    stderr: Path

    @property
    def cpu_seconds(self) -> float:
        return kernel.cpu_seconds(self.process.pid)

    @property
    def rss_mib(self) -> float:
        return kernel.rss_mib(self.process.pid)

    def require(self) -> None:
        """Raises NotRunning."""
        if self.process.poll() is not None:
            raise NotRunning(
                f"{self.name} has ended with status {self.process.returncode}:\n{self.last_words()}"
            )

    def last_words(self) -> str:
        return "\n".join(line[:400] for line in self.stderr.read_text(errors="replace").splitlines()[-5:])


class Processes:
    """A context: what was started in it has ended when it is left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._programs: list[Program] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for program in self._programs:
            _signal(program, signal.SIGTERM)
        for program in list(self._programs):
            self.stop(program)

    def start(self, name: str, command: Sequence[str], core: int) -> Program:
        stderr = self._directory / f"{name}-{len(list(self._directory.iterdir()))}.err"
        # Should this process be killed outright, the kernel still asks its children to end.
        command = ("taskset", "-c", str(core), "setpriv", "--pdeathsig", "TERM", *command)
        with stderr.open("wb") as errors:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        program = Program(name, process, stderr)
        self._programs.append(program)
        return program

    def stop(self, program: Program) -> None:
        _signal(program, signal.SIGTERM)
        try:
            program.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        # The session's other processes, too: a master that was killed leaves its workers.
        _signal(program, signal.SIGKILL)
        program.process.wait(PATIENCE)
        if program in self._programs:
            self._programs.remove(program)


def _signal(program: Program, number: signal.Signals) -> None:
    try:
        os.killpg(program.process.pid, number)
    except ProcessLookupError:
        pass
