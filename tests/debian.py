"""Programs of Debian's that some tests drive: installed where that is possible, else named."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from pathlib import Path

NEED_DEBIAN = Path(__file__).parents[1] / "tools" / "need-debian"


def lacks(*packages: str) -> str:
    """Empty where they are there, by now; else why they are not."""
    with Path(tempfile.gettempdir(), "bastion-need-debian").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # apt-get in two processes at a time
        done = subprocess.run([NEED_DEBIAN, *packages], capture_output=True, text=True)
    return (done.stderr.strip() or "cannot be installed") if done.returncode else ""
