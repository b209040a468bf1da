"""· What one probe measured, and how several are written as one text for Prometheus (format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Labels = tuple[tuple[str, str], ...]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

HELP: Mapping[str, str] = {
    "probe_success": "Displays whether or not the probe was a success",
    "probe_duration_seconds": "Returns how long the probe took to complete in seconds",
    "probe_timeout_seconds": "Seconds that the probe was given",
    "probe_dns_lookup_time_seconds": "Returns the time taken for probe dns lookup in seconds",
    "probe_ip_protocol": "Specifies whether probe ip protocol is IP4 or IP6",
    "probe_ip_addr_hash": "Specifies the hash of IP address, to detect if it changes",
    "probe_http_duration_seconds": "Duration of http request by phase, summed over all redirects",
    "probe_http_content_length": "Length of http content response",
    "probe_http_uncompressed_body_length": "Length of uncompressed response body",
    "probe_http_redirects": "The number of redirects",
    "probe_http_ssl": "Indicates if SSL was used for the final redirect",
    "probe_http_status_code": "Response HTTP status code",
    "probe_http_version": "Returns the version of HTTP of the probe response",
    "probe_http_last_modified_timestamp_seconds": "Returns the Last-Modified header in unixtime",
    "probe_failed_due_to_regex": "Indicates if probe failed due to regex",
    "probe_failed_due_to_bytes": "Indicates if probe failed due to bytes",
    "probe_failed_due_to_cel": "Indicates if probe failed due to CEL expression not matching",
    "probe_ssl_earliest_cert_expiry": "Returns last SSL chain expiry in unixtime",
    "probe_ssl_last_chain_expiry_timestamp_seconds": "Returns last SSL chain expiry in timestamp",
    "probe_ssl_last_chain_info": "Contains SSL leaf certificate information",
    "probe_tls_version_info": "Returns the TLS version used or NaN when unknown",
    "probe_tls_cipher_info": "Returns the TLS cipher negotiated during handshake",
    "probe_expect_info": "Explicit content matched",
    "probe_grpc_duration_seconds": "Duration of gRPC request by phase",
    "probe_grpc_ssl": "Indicates if SSL was used for the connection",
    "probe_grpc_status_code": "Response gRPC status code",
    "probe_grpc_healthcheck_response": "Response HealthCheck response",
    "probe_dns_duration_seconds": "Duration of DNS request by phase",
    "probe_dns_answer_rrs": "Returns number of entries in the answer resource record list",
    "probe_dns_authority_rrs": "Returns number of entries in the authority resource record list",
    "probe_dns_additional_rrs": "Returns number of entries in the additional resource record list",
    "probe_dns_query_succeeded": "Displays whether or not the query was executed successfully",
    "probe_dns_serial": "Returns the serial number of the zone",
    "bastion_probe_broken": "Whether the prober itself could not work, so that nothing is known",
}


class Samples:
    """Gauges of one probe, in the order in which they were named."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[tuple[str, Labels], float] = {}

    def set(self, name: str, value: float, labels: Labels = ()) -> None:
        self._values[(name, labels)] = value

    def get(self, name: str, labels: Labels = ()) -> float | None:
        return self._values.get((name, labels))

    def all(self) -> Iterable[tuple[str, Labels, float]]:
        return ((name, labels, value) for (name, labels), value in self._values.items())


def exposition(results: Iterable[tuple[Labels, Samples]]) -> str:
    """`results`: labels that each series of a probe is given, and what it measured."""
    families: dict[str, list[str]] = {}
    for added, samples in results:
        for name, labels, value in samples.all():
            families.setdefault(name, []).append(f"{name}{_written(added + labels)} {_number(value)}\n")
    return "".join(
        f"# HELP {name} {HELP.get(name, name)}\n# TYPE {name} gauge\n{''.join(lines)}"
        for name, lines in families.items()
    )


def _written(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
