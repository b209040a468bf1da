"""`python -m tests.fuzz [--runs N] [target …]`: look for inputs that break a promise, led by coverage
(atheris).

Each target runs in a process of its own, one after the other.  What was found useful stays in
`.fuzz/<target>`, and the next run begins there; an input that breaks something is left as
`.fuzz/<target>-crash-…`: it becomes a row of `FOUND` in `test_fuzz.py`.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path
from random import Random

from tests.fuzz.mutation import mutated

FOLDER = Path(".fuzz")
# Of each target: runs, some ten million in all, and how many bytes an input has at most.
TARGETS = {
    "head": (600_000, 600),
    "connection": (400_000, 600),
    "target": (6_000_000, 300),
    "surgery": (2_500_000, 1000),
    "answer": (600_000, 600),
    "page": (100_000, 400),
    "ordinary": (2_000_000, 600),
    "frames": (700_000, 900),  # some eight frames each
}
LONGEST = 10  # seconds that one input may take


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Look for inputs that break a promise."
    )
    parser.add_argument(
        "targets", nargs="*", metavar="target", help=f"of {', '.join(TARGETS)}; all of them if none is named"
    )
    parser.add_argument("--runs", type=int, help="of each target, in place of its usual number")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for target in asked.targets or TARGETS:
        runs = asked.runs or TARGETS[target][0]
        print(f"{target}: {runs:,} runs", flush=True)
        command = [
            sys.executable,
            "-c",
            f"from tests.fuzz.__main__ import look; look({target!r}, {runs}, {asked.seed})",
        ]
        if subprocess.run(command).returncode != 0:
            print(f"{target}: broken, see {FOLDER}/{target}-*")
            return 1
    return 0


def look(name: str, runs: int, seed: int) -> None:
    """Never returns: the process ends with what was found."""
    import atheris  # type: ignore[import-untyped]  # it is there for `make fuzz` alone

    with atheris.instrument_imports(include=["bastion"]):
        target = importlib.import_module(f"tests.fuzz.{name}")
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.SEEDS):
        (corpus / f"seed-{number}").write_bytes(data)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        if seed % 2:
            return bytes(atheris.Mutate(data, longest))
        return mutated(Random(seed), [data], target.WORDS)[:longest]

    options = [
        f"-runs={runs}",
        f"-seed={seed}",
        f"-timeout={LONGEST}",
        f"-max_len={TARGETS[name][1]}",
        "-print_final_stats=1",
    ]
    options += [f"-artifact_prefix={FOLDER}/{name}-", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
