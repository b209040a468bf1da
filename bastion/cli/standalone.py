"""`bastion standalone`: manifests served as a small Kubernetes API."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.cli.parser import build_parser
from bastion.cli.serve import standalone


def run(argv: Sequence[str]) -> int:
    return standalone(build_parser().parse_args(["standalone", *argv]))
