"""The Date field of responses."""

from __future__ import annotations

import time
from email.utils import formatdate


class DateLine:
    """The Date line (RFC 9110, 6.6.1), made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def __call__(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._line = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._line
