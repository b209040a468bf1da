"""What an operator reads: one line per event on stderr, text or JSON, and never a secret in it."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable

from bastion.observe.accessline import access_line
from bastion.observe.accesstext import coloured_line, text_line
from bastion.observe.moments import rfc3339
from bastion.observe.record import Record
from bastion.observe.texts import inert, redact

TEXT, JSON = "text", "json"
STDERR = 2

_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[1;31m"}
_DIM, _OFF = "\x1b[2m", "\x1b[0m"


class JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": redact(record.getMessage()),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode()


class TextFormatter(logging.Formatter):
    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level, moment = record.levelname.lower(), rfc3339(record.created)
        where = f"{record.name.removeprefix('bastion.')}:"
        if self._colour:
            moment, where = f"{_DIM}{moment}{_OFF}", f"{_DIM}{where}{_OFF}"
            level = f"{_COLOURS.get(level, '')}{level}{_OFF}"
        text = f"{moment} {level} {where} {inert(redact(record.getMessage()))}"
        if record.exc_info and record.exc_info[0] is not None:
            lines = redact(self.formatException(record.exc_info)).splitlines()
            text += "".join(f"\n    {inert(line)}" for line in lines)
        return text.encode("utf-8", "replace").decode()


def configure(verbosity: int, form: str = "") -> None:
    """`form` as `written_as` has it."""
    handler = logging.StreamHandler(sys.stderr)
    text = written_as(form, STDERR) == TEXT
    handler.setFormatter(TextFormatter(colour=is_coloured(STDERR)) if text else JSONFormatter())
    logging.getLogger().handlers[:] = [handler]
    set_verbosity(verbosity)


def set_verbosity(verbosity: int) -> None:
    """-v 0: what needs attention, and that it serves; 1..3: what happens; 4 and above: everything."""
    everything = verbosity >= 4
    logging.getLogger().setLevel(logging.INFO if everything else logging.WARNING)
    usual = logging.INFO if verbosity > 0 else logging.WARNING
    logging.getLogger("bastion").setLevel(logging.DEBUG if everything else usual)
    for always in ("bastion.server", "bastion.start"):
        logging.getLogger(always).setLevel(logging.DEBUG if everything else logging.INFO)


def access_lines(form: str, descriptor: int) -> Callable[[Record, str], bytes]:
    """How the access log writes a line there."""
    if written_as(form, descriptor) == JSON:
        return access_line
    return coloured_line if is_coloured(descriptor) else text_line


def written_as(form: str, descriptor: int) -> str:
    """`form`, or by default text at a terminal and JSON elsewhere."""
    return form or (TEXT if os.isatty(descriptor) else JSON)


def is_coloured(descriptor: int) -> bool:
    """As no-color.org has it."""
    return os.isatty(descriptor) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
