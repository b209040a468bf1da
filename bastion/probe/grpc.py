"""The grpc prober: grpc.health.v1.Health/Check.

Its two messages have a field each, so that no gRPC library is needed for them.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import time

from bastion import __version__
from bastion.network.errors import NetworkError
from bastion.probe.attempt import Attempt
from bastion.probe.http2 import Http2Exchange
from bastion.probe.modules import Grpc
from bastion.probe.tlsinfo import tls_samples
from bastion.probe.wire import Wire, open_wire

STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
SERVING = 1
PATH = b"/grpc.health.v1.Health/Check"
MOST = 65536  # bytes of the answer
OK, UNKNOWN, DEADLINE, DENIED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = (
    0,
    2,
    4,
    7,
    12,
    13,
    14,
    16,
)
# gRPC's own table: doc/http-grpc-status-mapping.md
_OF_HTTP = {400: INTERNAL, 401: UNAUTHENTICATED, 403: DENIED, 404: UNIMPLEMENTED}
_OF_HTTP |= dict.fromkeys((429, 502, 503, 504), UNAVAILABLE)


class GrpcProbe:
    def __init__(self, attempt: Attempt, module: Grpc) -> None:
        self._attempt = attempt
        self._module = module
        self._samples = attempt.samples

    async def run(self) -> bool:
        module, attempt, samples = self._module, self._attempt, self._samples
        samples.set("probe_grpc_ssl", 0.0)
        samples.set("probe_grpc_status_code", 0.0)
        for word in STATUSES:
            samples.set("probe_grpc_healthcheck_response", 0.0, (("serving_status", word),))
        endpoint = attempt.choose(module.preferred_ip_protocol, fallback=module.ip_protocol_fallback)
        lookup = samples.get("probe_dns_lookup_time_seconds") or 0.0
        samples.set("probe_grpc_duration_seconds", lookup, (("phase", "resolve"),))
        samples.set("probe_grpc_duration_seconds", 0.0, (("phase", "check"),))
        if endpoint is None:
            return False
        began, wire = time.perf_counter(), None
        try:
            async with asyncio.timeout_at(attempt.deadline):
                settings = module.tls_config if module.tls else None
                name = module.tls_config.server_name
                wire = await open_wire(
                    attempt.environment, endpoint, settings, name, ("h2",) if module.tls else ()
                )
                code, status = await self._check(wire, name or str(endpoint))
        except TimeoutError:
            code, status = DEADLINE, None
            attempt.failed("the time is up")
        except (OSError, NetworkError, ValueError) as error:
            code, status = UNAVAILABLE, None
            attempt.error(error)
        finally:
            if wire is not None:
                wire.close()
        samples.set("probe_grpc_duration_seconds", time.perf_counter() - began, (("phase", "check"),))
        samples.set("probe_grpc_status_code", float(code))
        if status is not None and status < len(STATUSES):
            samples.set("probe_grpc_healthcheck_response", 1.0, (("serving_status", STATUSES[status]),))
        if code == OK and status == SERVING:
            return True
        word = STATUSES[status] if status is not None and status < len(STATUSES) else f"code {code}"
        return attempt.failed(f"health check: {word}")

    async def _check(self, wire: Wire, authority: str) -> tuple[int, int | None]:
        """The gRPC code, and the serving status where it is OK."""
        tls: ssl.SSLObject | None = wire.tls
        exchange = Http2Exchange(wire)
        head = [
            (b":method", b"POST"),
            (b":scheme", b"https" if tls is not None else b"http"),
            (b":authority", authority.encode()),
            (b":path", PATH),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"user-agent", f"bastion-probe/{__version__}".encode()),
            (b"grpc-timeout", f"{max(int(self._attempt.left * 1000), 1)}m".encode()),
        ]
        head += [
            (name.lower().encode(), value.encode()) for name, many in self._module.metadata for value in many
        ]
        answer = await exchange.ask(head, _message(self._module.service.encode()))
        body = b""
        async for piece in answer.body:
            body += piece
            if len(body) > MOST:
                raise ValueError("the response is too large")
        told = dict(exchange.trailers).get(b"grpc-status") or answer.field(b"grpc-status")
        if answer.status != 200:
            return _OF_HTTP.get(answer.status, UNKNOWN), None
        if not told.isdigit():
            return (
                UNKNOWN if answer.field(b"content-type")[:16] == b"application/grpc" else UNAVAILABLE
            ), None
        code = int(told)
        if tls is not None and code == OK:  # as the exporter: of an error nothing is known but its code
            self._samples.set("probe_grpc_ssl", 1.0)
            tls_samples(self._samples, tls, chain_expiry=False)
        return code, _serving_status(body) if code == OK else None


def _message(service: bytes) -> bytes:
    """HealthCheckRequest{service = 1}, framed."""
    payload = b"\x0a" + _varint(len(service)) + service if service else b""
    return b"\x00" + struct.pack(">I", len(payload)) + payload


def _serving_status(body: bytes) -> int | None:
    """HealthCheckResponse{status = 1}; None where it cannot be read."""
    if len(body) < 5 or body[0] != 0:
        return None
    payload = body[5 : 5 + struct.unpack(">I", body[1:5])[0]]
    if not payload:
        return 0
    return payload[1] if len(payload) >= 2 and payload[0] == 0x08 and payload[1] < 0x80 else None


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
