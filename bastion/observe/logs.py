"""What an operator reads: one line per event on stderr, JSON, and never a secret in it."""

from __future__ import annotations

import json
import logging
import re
import sys

# What a credential looks like wherever it might slip into a message, and whatever a URL has behind its `?`.
_SECRET = re.compile(
    r"(?is)\b(?:bearer|basic)\s+[^\s\"']+"
    r"|eyJ[\w-]{8,}\.[\w.-]+"
    r"|base64url\.bearer\.authorization\.k8s\.io\.[\w-]+"
    r"|(?:token|password|secret|api_key)[\"']?\s*[=:]\s*[\"']?[^&#\s\"'}]+"
    r"|(?<=://)[^/\s@]+(?=@)"
    r"|(?<=[\w/%.~-]\?)[^\s\"'<>]+"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redact(text: str) -> str:
    return _SECRET.sub("[redacted]", text)


class JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": redact(record.getMessage()),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode()


def configure(verbosity: int) -> None:
    """-v 0: what needs attention, and that it serves; 1..3: what happens; 4 and above: everything."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("bastion").setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO if verbosity else logging.WARNING)
    for always in ("bastion.server", "bastion.start"):
        logging.getLogger(always).setLevel(logging.DEBUG if verbosity >= 4 else logging.INFO)
    if verbosity >= 4:
        root.setLevel(logging.INFO)
