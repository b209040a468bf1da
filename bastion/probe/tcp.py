"""The tcp prober: a connection, TLS where the module says so, and a dialogue of lines."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from bastion.network.errors import NetworkError
from bastion.probe.attempt import Attempt
from bastion.probe.modules import Step, Tcp
from bastion.probe.tlsinfo import tls_samples
from bastion.probe.wire import READ, Wire, open_wire

LONGEST_LINE = 65536
_REFERENCE = re.compile(rb"\$(?:(\$)|(\w+)|\{(\w+)\})")


class TooLong(ValueError):
    """A line of more than LONGEST_LINE bytes."""


class Lines:
    """Line by line, without their ends; the last one may have none."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._held = b""
        self._ended = False

    async def next(self) -> bytes | None:
        """None at the end.  Raises OSError or TooLong."""
        while True:
            line, found, rest = self._held.partition(b"\n")
            if found:
                self._held = rest
                return line.removesuffix(b"\r")
            if self._ended:
                self._held = b""
                return line.removesuffix(b"\r") if line else None
            if len(line) >= LONGEST_LINE:
                raise TooLong(f"a line of more than {LONGEST_LINE} bytes")
            await self._read()

    async def exactly(self, count: int) -> bytes:
        """Fewer where the connection ends before."""
        while len(self._held) < count and not self._ended:
            await self._read()
        found, self._held = self._held[:count], self._held[count:]
        return found

    def forget(self) -> None:
        """What came in plain text before TLS counts for nothing after it."""
        self._held = b""

    async def _read(self) -> None:
        data = await self._wire.reader.read(READ)
        self._ended = not data
        self._held += data


class TcpProbe:
    def __init__(self, attempt: Attempt, module: Tcp) -> None:
        self._attempt = attempt
        self._module = module
        self._samples = attempt.samples

    async def run(self) -> bool:
        module, attempt = self._module, self._attempt
        endpoint = attempt.choose(module.preferred_ip_protocol, fallback=module.ip_protocol_fallback)
        if endpoint is None:
            return False
        wire = None
        name = module.tls_config.server_name or attempt.hostname
        try:
            async with asyncio.timeout_at(attempt.deadline):
                settings = module.tls_config if module.tls else None
                wire = await open_wire(attempt.environment, endpoint, settings, name)
                attempt.note("successfully dialed")
                self._samples.set("probe_failed_due_to_regex", 0.0)
                self._samples.set("probe_failed_due_to_bytes", 0.0)
                if wire.tls is not None:
                    tls_samples(self._samples, wire.tls)
                lines = Lines(wire)
                for step in module.query_response:
                    if not await self._step(step, wire, lines, name or endpoint.address):
                        return False
            return True
        except TimeoutError:
            return attempt.failed("the time is up")
        except (OSError, NetworkError, ValueError) as error:
            return attempt.error(error)
        finally:
            if wire is not None:
                wire.close()

    async def _step(self, step: Step, wire: Wire, lines: Lines, name: str) -> bool:
        send = step.send.encode("utf-8", "surrogateescape")
        if step.expect is not None:
            found = None
            while found is None:
                line = await lines.next()
                if line is None:
                    self._samples.set("probe_failed_due_to_regex", 1.0)
                    return self._attempt.failed("regexp did not match before the connection ended")
                found = step.expect.search(line)
            self._attempt.note("regexp matched")
            if step.labels:
                labels = tuple(
                    (one.name, expand(one.value.encode(), found).decode("utf-8", "replace"))
                    for one in step.labels
                )
                self._samples.set("probe_expect_info", 1.0, labels)
            send = expand(send, found)
        if step.expect_bytes:
            wanted = step.expect_bytes.encode("utf-8", "surrogateescape")
            if await lines.exactly(len(wanted)) != wanted:
                self._samples.set("probe_failed_due_to_bytes", 1.0)
                return self._attempt.failed("the bytes are not as expected")
        if send:
            wire.writer.write(send + b"\n")
            await wire.writer.drain()
        if step.starttls:
            lines.forget()
            await wire.start_tls(self._attempt.environment.contexts.of(self._module.tls_config), name)
            if wire.tls is not None:
                tls_samples(self._samples, wire.tls)
        return True


def expand(template: bytes, found: Any) -> bytes:
    """`$1`, `${1}` and `${name}` by what was matched, `$$` is a dollar; an unknown one is nothing."""

    def group(reference: re.Match[bytes]) -> bytes:
        if reference[1]:
            return b"$"
        name = (reference[2] or reference[3]).decode()
        try:
            return found.group(int(name) if name.isdigit() else name) or b""
        except (IndexError, LookupError):
            return b""

    return _REFERENCE.sub(group, template)
