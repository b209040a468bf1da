"""What /debug/pprof/ says where `enableProfiling` is set: where every thread and task is just now."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import traceback

from bastion.network.responder import NOT_FOUND, Page

ROOT = "/debug/pprof/"
TEXT = "text/plain; charset=utf-8"
NOSNIFF = {"X-Content-Type-Options": "nosniff"}
INDEX = b"""<html><head><title>/debug/pprof/</title></head><body>
<p><a href="goroutine">goroutine</a>: stacks of all threads and tasks</p>
<p><a href="cmdline">cmdline</a>: the words that this program was started with</p>
</body></html>
"""


def page(path: str) -> Page:
    if path == ROOT:
        return Page(200, INDEX, "text/html; charset=utf-8", NOSNIFF)
    if path == f"{ROOT}cmdline":
        return Page(200, "\0".join(sys.orig_argv).encode(errors="replace"), TEXT, NOSNIFF)
    if path == f"{ROOT}goroutine":
        return Page(200, stacks().encode(errors="replace"), TEXT, NOSNIFF)
    return NOT_FOUND


def stacks() -> str:
    """To be called in the loop's thread."""
    out = io.StringIO()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for number, frame in sys._current_frames().items():
        out.write(f"thread {names.get(number, number)}\n")
        traceback.print_stack(frame, file=out)
    for task in sorted(asyncio.all_tasks(), key=asyncio.Task.get_name):
        out.write(f"\ntask {task.get_name()}\n")
        task.print_stack(file=out)
    return out.getvalue()
