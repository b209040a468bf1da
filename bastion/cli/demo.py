"""`bastion demo`: sample workloads and a bastion in front of them."""

from __future__ import annotations

from collections.abc import Sequence

from bastion.cli.parser import build_parser
from bastion.cli.serve import demo


def run(argv: Sequence[str]) -> int:
    return demo(build_parser().parse_args(["demo", *argv]))
