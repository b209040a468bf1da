"""python -m bench.html_rewriter FILE [ENCODING]: what does rewriting this body cost?

Prints, as JSON, seconds of CPU, the least of several times, and by how many MiB the process grew the first
time.  A process for each body, which did not make it: memory that is free for reuse would hide what this
takes.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bastion.message.mount import Mount
from bastion.message.page.html import Plan, RewriteAborted, plan
from bastion.server.memory import tune_allocator

TIMES = 15
READ = 65536  # bytes that come from a backend at once
LONG = 1.0  # seconds: what takes this long is not repeated
MOUNT = Mount(
    b"/api/v1/namespaces/shop/services/frontend:http/proxy",
    frozenset((b"10.0.0.5:8080",)),
    b"/docs/v1/page",
    True,
    b"bastion.test",
)
STATUS = Path("/proc/self/status")


def main(file: Path, encoding: bytes = b"identity") -> None:
    tune_allocator()
    fields = [
        (b"content-type", b"Content-Type", b"text/html"),
        (b"content-encoding", b"Content-Encoding", encoding),
    ]
    planned = plan(MOUNT, 200, fields)
    assert planned is not None
    _rewrite(planned, [b"<p>"])
    ctypes.CDLL(None).malloc_trim(0)  # or what the start has left over would be used first
    before = _mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (proc(5))
    cpu, aborted = _rewrite(planned, _pieces(file))
    grown = _mib("VmHWM") - before
    if cpu < LONG:
        pieces = list(_pieces(file))
        cpu = min(_rewrite(planned, pieces)[0] for _ in range(TIMES))
    print(json.dumps({"cpu_s": cpu, "grown_mib": grown, "aborted": aborted}))


def _rewrite(planned: Plan, pieces: Iterable[bytes]) -> tuple[float, bool]:
    """Seconds of CPU, and whether it was given up."""
    begun, aborted = time.process_time(), False
    try:
        rewriter = planned.rewriter()
        for piece in pieces:
            for _ in rewriter.feed(piece):
                pass
        rewriter.finish()
    except RewriteAborted:
        aborted = True
    return time.process_time() - begun, aborted


def _pieces(file: Path) -> Iterator[bytes]:
    """As the proxy has them."""
    with file.open("rb") as body:
        while piece := body.read(READ):
            yield piece


def _mib(field: str) -> float:
    found = re.search(rf"^{field}:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(argument.encode() for argument in sys.argv[2:]))
