"""python -m bench.lines: what do the lines of a head take, read and written anew, and known already?

Of a browser's head: the least of many times, in this process, so that a busy machine shows little.
"""

from __future__ import annotations

import itertools
import sys
import timeit
from collections.abc import Callable

from bastion.http.fields import field_of
from bastion.message.headers import Forwarded, to_backend
from bastion.message.lines import request_lines
from bastion.server.http1.head import read_head
from bench.fixture import User
from bench.report import say, table
from bench.scenarios import BROWSER

TIMES, EACH = 50, 500
FORWARDED = Forwarded(b"192.0.2.1", b"bastion.test", b"https", b"/p", b"/p/")
REQUEST_LINE = "GET /api/v1/namespaces/bench/services/web-00:80/proxy/ HTTP/1.1"


def main() -> int:
    user = User("u", "x" * 32)
    given = {"Host": "bastion.test", **BROWSER, "Authorization": user.authorization}
    lines = [f"{name}: {value}".encode() for name, value in given.items()]
    head = b"\r\n".join([REQUEST_LINE.encode(), *lines])
    fields = read_head(head).fields
    known = request_lines(field_of)
    known.sort(lines, "client")
    number = itertools.count()
    public = [line for line in lines if not line.startswith(b"Authorization")]
    rows = [
        ("read", _microseconds(lambda: read_head(head))),
        (
            "written for the backend",
            _microseconds(lambda: to_backend(fields, FORWARDED, keep_authorization=False)),
        ),
        ("sorted, all known", _microseconds(lambda: known.sort(public, "client"))),
        ("sorted, with one that is never kept", _microseconds(lambda: known.sort(lines, "client"))),
        (
            "one that is another each time",
            _microseconds(lambda: known.sort([b"X-Request-Id: %032d" % next(number)], "client")),
        ),
    ]
    say(f"{len(lines)} fields, in microseconds", table(rows))
    return 0


def _microseconds(step: Callable[[], object]) -> str:
    return f"{min(timeit.repeat(step, number=EACH, repeat=TIMES)) / EACH * 1e6:.2f}"


if __name__ == "__main__":
    sys.exit(main())
