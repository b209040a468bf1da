"""The dns prober: one question to one server, over UDP, TCP or TLS."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Sequence

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from bastion.kube.endpoint import Endpoint
from bastion.network.errors import NetworkError
from bastion.network.once import connect_once
from bastion.probe.attempt import Attempt, zeros
from bastion.probe.modules import Dns, Records
from bastion.probe.wire import open_wire

_METRICS = (
    "probe_dns_answer_rrs",
    "probe_dns_authority_rrs",
    "probe_dns_additional_rrs",
    "probe_dns_query_succeeded",
)
PHASES = ("resolve", "connect", "request")


class DnsProbe:
    def __init__(self, attempt: Attempt, module: Dns) -> None:
        self._attempt = attempt
        self._module = module
        self._samples = attempt.samples

    async def run(self) -> bool:
        module, attempt, samples = self._module, self._attempt, self._samples
        zeros(samples, _METRICS)
        kind, group = dns.rdatatype.from_text(module.query_type), dns.rdataclass.from_text(module.query_class)
        for phase in PHASES:
            self._took(phase, 0.0)
        endpoint = attempt.choose(module.preferred_ip_protocol, fallback=module.ip_protocol_fallback)
        self._took("resolve", samples.get("probe_dns_lookup_time_seconds") or 0.0)
        if endpoint is None:
            return False
        try:
            flags = dns.flags.RD if module.recursion_desired else 0
            question = dns.message.make_query(module.query_name, kind, group, flags=flags)
            async with asyncio.timeout_at(attempt.deadline):
                wire = question.to_wire()
                answer = await (self._over_udp if self._udp else self._over_tcp)(endpoint, wire)
            read = dns.message.from_wire(answer, ignore_trailing=True)
            if read.id != question.id:
                raise ValueError("the response is to another question")
        except TimeoutError:
            return attempt.failed("the time is up")
        except (OSError, NetworkError, ValueError, EOFError, dns.exception.DNSException) as error:
            return attempt.error(error, "error while sending a DNS query: ")
        samples.set("probe_dns_query_succeeded", 1.0)
        return self._judge(read, kind)

    @property
    def _udp(self) -> bool:
        return self._module.over_udp

    def _took(self, phase: str, seconds: float) -> None:
        self._samples.set("probe_dns_duration_seconds", seconds, (("phase", phase),))

    async def _over_udp(self, endpoint: Endpoint, question: bytes) -> bytes:
        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        sock = await connect_once(self._attempt.environment.policy, endpoint, udp=True)
        connected = time.perf_counter()
        self._took("connect", connected - began)
        try:
            await loop.sock_sendall(sock, question)
            return await loop.sock_recv(sock, 65535)
        finally:
            sock.close()
            self._took("request", time.perf_counter() - connected)

    async def _over_tcp(self, endpoint: Endpoint, question: bytes) -> bytes:
        began = time.perf_counter()
        settings = self._module.tls_config if self._module.dns_over_tls else None
        try:
            wire = await open_wire(
                self._attempt.environment, endpoint, settings, self._module.tls_config.server_name
            )
        finally:
            connected = time.perf_counter()
            self._took("connect", connected - began)
        try:
            wire.writer.write(struct.pack(">H", len(question)) + question)
            size = struct.unpack(">H", await wire.reader.readexactly(2))[0]
            return await wire.reader.readexactly(size)
        finally:
            wire.close()
            self._took("request", time.perf_counter() - connected)

    def _judge(self, read: dns.message.Message, kind: dns.rdatatype.RdataType) -> bool:
        module, samples = self._module, self._samples
        sections = {
            "answer": (read.answer, module.validate_answer_rrs),
            "authority": (read.authority, module.validate_authority_rrs),
            "additional": (read.additional, module.validate_additional_rrs),
        }
        lines = {name: _lines(found) for name, (found, _) in sections.items()}
        for name, found in lines.items():
            samples.set(f"probe_dns_{name}_rrs", float(len(found)))
        if kind == dns.rdatatype.SOA:
            serials = [one.serial for rrset in read.answer for one in rrset if hasattr(one, "serial")]
            samples.set("probe_dns_serial", float(serials[-1]) if serials else 0.0)
        code = dns.rcode.to_text(read.rcode())
        if code not in (module.valid_rcodes or ("NOERROR",)):
            return self._attempt.failed(f"rcode {code} is not one of the allowed rcodes")
        for name, (_, rules) in sections.items():
            if not _are_good(lines[name], rules):
                return self._attempt.failed(f"{name} RRs validation failed")
        return True


def _lines(section: Sequence[dns.rrset.RRset]) -> list[bytes]:
    """Each record in presentation form, its parts separated by tabs."""
    return [
        "\t".join(
            (
                rrset.name.to_text(),
                str(rrset.ttl),
                dns.rdataclass.to_text(rrset.rdclass),
                dns.rdatatype.to_text(rrset.rdtype),
                record.to_text(),
            )
        ).encode()
        for rrset in section
        for record in rrset
    ]


def _are_good(lines: list[bytes], rules: Records) -> bool:
    if not lines and (rules.fail_if_not_matches_regexp or rules.fail_if_none_matches_regexp):
        return False
    every = rules.fail_if_all_match_regexp
    none = rules.fail_if_none_matches_regexp
    return not (
        any(p.search(line) for line in lines for p in rules.fail_if_matches_regexp)
        or any(not p.search(line) for line in lines for p in rules.fail_if_not_matches_regexp)
        # the opposite of its name, which is what the exporter makes of it (`validRRs` in prober/dns.go)
        or not all(p.search(line) for line in lines for p in every)
        or (none and not any(p.search(line) for line in lines for p in none))
    )
