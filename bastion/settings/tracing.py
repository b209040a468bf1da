"""· Options of tracing."""

from __future__ import annotations

from dataclasses import dataclass

from bastion.kube.values import quoted
from bastion.settings.kinds import TEXT, Kind, named
from bastion.settings.option import option


def endpoint(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(f"{quoted(text)} is not an http or https URL")
    return text


def ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{quoted(text)} is not a number from 0 to 1")
    return value


@dataclass(frozen=True, slots=True)
class Tracing:
    """`endpoint` empty: off, and nothing of it is loaded."""

    endpoint: str = option(
        "tracing-endpoint",
        Kind("URL", endpoint),
        "",
        "where spans are sent, by OTLP over HTTP, such as http://collector:4318/v1/traces; needs the"
        " extra otel",
    )
    ratio: float = option(
        "tracing-sampling-ratio",
        Kind("RATIO", ratio, {"type": ["number", "string"], "minimum": 0, "maximum": 1}),
        1.0,
        "the part of requests that is traced, where no trusted proxy has decided it",
    )
    service: str = option("tracing-service-name", named("NAME", TEXT), "bastion", "the name of this service")
