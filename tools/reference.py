"""What is there to know of metrics, log lines and own paths?  Written from the program's own tables:
`python tools/reference.py docs/reference`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, get_type_hints

from bastion.l4.metrics import families as of_balancing
from bastion.node.balancers.controller import families as of_controller
from bastion.observe.accessline import Context, Event
from bastion.observe.collecting import workers
from bastion.observe.families import Family
from bastion.probe.samples import HELP
from bastion.settings.config import serve_config
from bastion.settings.reference import escaped, lines
from bastion.web.openapi import document
from bastion.wiring.bastion import open_bastion
from bastion.wiring.lbcontroller import leads

Row = tuple[str, ...]
PREFIX = "/.bastion"
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")

METRICS = """# Metrics

At `/metrics` (`/.bastion/metrics` with `--pass-through`), for those who may `get` that path;
`--metrics-bind-address` has them without. All are there from the start, a series of a label's value once
there is something to count. Seconds and bytes throughout; histograms have buckets from 1 ms to 300 s.

Labels have few values: never a path, a query or a user. A namespace is named once a request reached something
in it. With `--workers` whichever worker is scraped tells of all of them: counters and gauges are sums, what
one that died had counted stays in them, ages are the oldest, and what is of a process has a label `worker`.

[Alerts and dashboards](../hardening.md#what-to-alert-on) lie in `deploy/prometheus`.
"""
LOG = """# Fields of the access log

A line for each exchange with a target, a passed call or a page for people, on stdout: JSON, or text at a
terminal (`--log-format`). A long one has a line when it has become one as well (`access-lasts`). A line has
at most 4096 bytes, and never a query, a header or a credential. Empty fields are left out but for the first
eleven.
"""
EVENTS = """
## Of other lines

What happens otherwise is told on stderr, a line for each event.

"""
API = """# The bastion's own paths

Each lies under `/.bastion/`. While `--pass-through` is off most have a short form, too, which with it is an
API server's. `/openapi.json` has the same as OpenAPI, with schemas, and so has
[openapi/bastion.json](../../openapi/bastion.json). Paths of targets (`/api/v1/namespaces/…/proxy/…`,
`/api/v1/nodes/…/proxy/…`) are those of kube-apiserver and stand there as well.

"""


# --- metrics


KUBECONFIG = """{"apiVersion": "v1", "kind": "Config", "current-context": "none",
 "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
 "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
 "users": [{"name": "none", "user": {}}]}
"""


async def of_serving(kubeconfig: str) -> list[Family]:
    """Of a bastion with everything switched on that counts; there need be no API server."""
    config = serve_config([f"--kubeconfig={kubeconfig}", "--metrics-targets=1", "--pass-through"])
    async with open_bastion(config, os.open(os.devnull, os.O_WRONLY)) as bastion:
        return bastion.families()


def metrics() -> str:
    head = ("metric", "type", "labels", "meaning")
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(KUBECONFIG)
        file.flush()
        logging.disable()  # there is no API server, which is told
        serving = asyncio.run(of_serving(file.name))
        logging.disable(logging.NOTSET)
    parts = {
        "Of `bastion serve`": [*serving, workers(1)],
        "Of `bastion lb`": of_balancing((), 0, 0, {}),
        "Of `bastion lb controller`": [leads(holds=False), *of_controller((), 0)],
    }
    texts = [f"\n## {title}\n\n" + lines(head, map(row_of, families)) for title, families in parts.items()]
    probes = lines(("sample", "meaning"), ((f"`{name}`", escaped(help)) for name, help in HELP.items()))
    return (
        METRICS
        + "".join(texts)
        + f"\n## Of `/probe`\n\nAll are gauges, as blackbox_exporter has them.\n\n{probes}"
    )


def row_of(family: Family) -> Row:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"`{family.name}`", family.kind.value, labels, escaped(family.help)


# --- log lines


def log_fields() -> str:
    head = ("field", "type", "meaning")
    rows = [row for part in (Event, Context) for row in fields_of(part)]
    return LOG + "\n" + lines(head, rows) + EVENTS + lines(head[::2], OTHER_LINES)


OTHER_LINES = (
    ("`time`", "RFC 3339, UTC, milliseconds"),
    ("`level`", "`debug`, `info`, `warning`, `error`, `critical`"),
    ("`logger`", "the part of the program: `bastion.proxy`, `bastion.authn` …"),
    ("`msg`", "what happened; secrets are struck out"),
    ("`exception`", "where an error of the program's own was raised"),
)


def fields_of(part: Any) -> list[Row]:
    names = {str: "text", int: "number", float: "number", bool: "boolean", dict[str, float]: "object"}
    return [
        (f"`{name}`", names[hint.__origin__], escaped(hint.__metadata__[0].description))
        for name, hint in get_type_hints(part, include_extras=True).items()
        if name in part.__struct_fields__
    ]


# --- paths


def api() -> str:
    paths = document()["paths"]
    own = sorted(path for path in paths if path.startswith(PREFIX))
    head = ("path", "short form", "methods", "parameters", "what")
    return API + lines(head, (row_of_path(path, paths) for path in own))


def row_of_path(path: str, paths: Any) -> Row:
    operations, short = paths[path], path.removeprefix(PREFIX)
    methods = [method for method in METHODS if method in operations]
    asked = [one["name"] for one in operations[methods[0]].get("parameters", ()) if one["in"] == "query"]
    what = "; ".join(dict.fromkeys(operations[method]["summary"] for method in methods))
    return (
        f"`{path}`",
        f"`{short}`" if short in paths else "",
        ", ".join(map(str.upper, methods)),
        ", ".join(f"`{name}`" for name in asked),
        escaped(what),
    )


def files() -> dict[str, str]:
    return {"metrics.md": metrics(), "log-fields.md": log_fields(), "api.md": api()}


if __name__ == "__main__":
    for name, text in files().items():
        Path(sys.argv[1], name).write_text(text)
