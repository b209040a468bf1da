"""· How does OpenAPI describe the pages of the prober?  FastAPI does not serve them: it is written here."""

from __future__ import annotations

from typing import Any

from bastion.web.ownpaths import both_forms
from bastion.web.proxied import ERROR_ANSWER, SECURITY_SCHEMES

Schema = dict[str, Any]

PARAMETERS = {
    "target": "`services/NAMESPACE/ID[/path]`, `pods/NAMESPACE/ID[/path]`, `nodes/ID[/path]` or a proxy path",
    "module": "A module of `--probe-config-file`, or `declared`",
    "hostname": "The host name that the probe asks for",
    "debug": "`true`: the log of the probe as text, instead of samples",
    "endpoints": "`one`: one endpoint, without the labels `pod` and `endpoint`",
    "window": "How far back uptime is counted: `1h`, `24h`, `7d`, `30d` or `90d`",
}
JSON, TEXT, HTML = "application/json", "text/plain", "text/html"

# path, operationId, summary, media types, parameters
PAGES: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...] = (
    (
        "/probe",
        "probe",
        "Probe a target now, as blackbox_exporter says it",
        (TEXT,),
        ("target", "module", "hostname", "debug", "endpoints"),
    ),
    ("/probe/targets", "probeTargets", "What is probed, for Prometheus' http_sd", (JSON,), ()),
    ("/probe/status", "probeStatus", "The state of what is probed", (JSON, HTML), ()),
    ("/probe/history", "probeHistory", "Results and failures of a target", (JSON,), ("target", "module")),
    (
        "/probe/badge.svg",
        "probeBadge",
        "A badge of a target",
        ("image/svg+xml",),
        ("target", "module", "window"),
    ),
    (
        "/probe/badge.json",
        "probeShield",
        "A badge of a target for shields.io",
        (JSON,),
        ("target", "module", "window"),
    ),
    ("/probe/changes.rss", "probeChanges", "Changes of state as RSS", ("application/rss+xml",), ()),
)


def with_probe_paths(schema: Schema) -> Schema:
    """`schema` and the prober's paths; `schema` itself is left as it is."""
    paths = dict(schema["paths"])
    for path, name, summary, types, parameters in PAGES:
        paths |= both_forms(path, {"get": _operation(name, summary, types, parameters)})
    return {**schema, "paths": paths}


def _operation(name: str, summary: str, types: tuple[str, ...], parameters: tuple[str, ...]) -> Schema:
    return {
        "operationId": name,
        "summary": f"{summary}: only what the caller may open",
        "tags": ["probing"],
        "security": [{scheme: []} for scheme in SECURITY_SCHEMES],
        "parameters": [_parameter(parameter) for parameter in parameters],
        "responses": {
            "200": {
                "description": summary,
                "content": {kind: {"schema": {"type": "object"}} if kind == JSON else {} for kind in types},
            },
            "default": ERROR_ANSWER,
        },
    }


def _parameter(name: str) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": name == "target",
        "description": PARAMETERS[name],
        "schema": {"type": "string"},
    }
