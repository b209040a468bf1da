"""How fast is one tunnel, with nothing in the way but the proxy?  Large frames, one direction at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.fixture import Service, User
from bench.processes import Program
from bench.streams import BrokenResponse
from bench.tunnels import frames
from bench.tunnels.client import PATIENCE, Entrance, Tunnel, counts

MIB = 1 << 20
PIECE = 1 << 16  # payload of a frame
RAMP = 0.3  # seconds that do not count: the kernel's windows grow


@dataclass(frozen=True, slots=True)
class Throughput:
    """`busy`: the proxy's share of its core.  Far below 1 it was not the proxy that set the speed."""

    mib_s: float
    busy: float


def down(entrance: Entrance, program: Program, service: Service, user: User, seconds: float) -> Throughput:
    """Backend to client.  Raises UpgradeRefused, BrokenResponse, OSError."""
    tunnel = Tunnel(entrance, service, "/source", user)
    try:
        _read_for(tunnel, RAMP)
        cpu, begun = program.cpu_seconds, time.monotonic()
        done = _read_for(tunnel, seconds)
        took = time.monotonic() - begun
        return Throughput(done / took / MIB, (program.cpu_seconds - cpu) / took)
    finally:
        tunnel.close()


def up(entrance: Entrance, program: Program, service: Service, user: User, seconds: float) -> Throughput:
    """Client to backend, timed at the backend: what has not yet arrived does not count.  Raises as `down`."""
    tunnel = Tunnel(entrance, service, "/sink", user)
    try:
        piece = frames.frame(bytes(PIECE), b"mask")
        _write_for(tunnel, piece, RAMP)
        before, cpu, begun = counts(service)["received"], program.cpu_seconds, time.monotonic()
        _write_for(tunnel, piece, seconds)
        done = counts(service)["received"] - before
        took = time.monotonic() - begun
        return Throughput(done / took / MIB, (program.cpu_seconds - cpu) / took)
    finally:
        tunnel.close()


def _read_for(tunnel: Tunnel, seconds: float) -> int:
    """Bytes.  Into one buffer and unread: the client shall cost as little as it can."""
    buffer = bytearray(1 << 18)
    end, done = time.monotonic() + seconds, 0
    tunnel.socket.settimeout(PATIENCE)
    while time.monotonic() < end:
        count = tunnel.socket.recv_into(buffer)
        if not count:
            raise BrokenResponse("the tunnel has ended")
        done += count
    return done


def _write_for(tunnel: Tunnel, piece: bytes, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tunnel.socket.sendall(piece)
