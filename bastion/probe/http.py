"""The http prober: one request and the redirects that stay at the endpoint, measured by phase."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from bastion.http.fields import values
from bastion.kube.endpoint import Endpoint
from bastion.network.errors import NetworkError
from bastion.probe.attempt import Attempt, cause_of, zeros
from bastion.probe.credentials import header_fields
from bastion.probe.decoding import Body, TooLarge, Undecodable
from bastion.probe.hop import Hop, http1_head, http2_head
from bastion.probe.httpdates import http_date
from bastion.probe.modules import Http
from bastion.probe.redirects import FOLLOWED, MOST, BadLocation, Cookies, next_path
from bastion.probe.response import Answer, http1_exchange
from bastion.probe.tlsinfo import tls_samples
from bastion.probe.wire import Wire, open_wire

PHASES = ("resolve", "connect", "tls", "processing", "transfer")
_METRICS = (
    "probe_http_content_length",
    "probe_http_redirects",
    "probe_http_ssl",
    "probe_http_status_code",
    "probe_http_uncompressed_body_length",
    "probe_http_version",
    "probe_failed_due_to_regex",
)
_UNSEEN = ("connection", "transfer-encoding", "trailer")  # what Go takes from a response's header for itself
BROKEN = (OSError, NetworkError, ValueError, EOFError)  # what a connection or a response may raise


class HttpProbe:
    """`verdict`: how a status and a redirect that leaves the endpoint count, where not by the module."""

    def __init__(self, attempt: Attempt, module: Http, verdict: Callable[[int], bool] | None = None) -> None:
        self._attempt = attempt
        self._module = module
        self._verdict = verdict
        self._samples = attempt.samples
        self._phases = dict.fromkeys(PHASES, 0.0)
        self._cookies = Cookies()
        self._wire: Wire | None = None
        self._transfer_began = 0.0
        self._redirects = 0

    async def run(self) -> bool:
        zeros(self._samples, _METRICS)
        module = self._module
        if module.fail_if_body_json_matches_cel or module.fail_if_body_json_not_matches_cel:
            self._samples.set("probe_failed_due_to_cel", 0.0)
        endpoint = self._attempt.choose(module.preferred_ip_protocol, fallback=module.ip_protocol_fallback)
        resolved = self._samples.get("probe_dns_lookup_time_seconds") or 0.0
        self._phases["resolve"] = resolved
        self._samples.set("probe_http_duration_seconds", resolved, (("phase", "resolve"),))
        if endpoint is None:
            return False
        try:
            async with asyncio.timeout_at(self._attempt.deadline):
                return await self._exchange(endpoint)
        except TimeoutError:
            return self._attempt.failed("the time is up")
        except BROKEN as error:
            return self._attempt.error(error, "HTTP request failed: ")
        finally:
            self._end_transfer()
            if self._wire is not None:
                self._wire.close()
            for phase in PHASES:
                self._samples.set("probe_http_duration_seconds", self._phases[phase], (("phase", phase),))
            self._samples.set("probe_http_redirects", float(self._redirects))

    async def _exchange(self, endpoint: Endpoint) -> bool:
        module = self._module
        body = module.body.encode("utf-8", "surrogateescape") if module.body else b""
        if module.body_file:
            body = await asyncio.to_thread(_read_file, module.body_file)
        fields = await header_fields(module, self._attempt)
        hop = Hop(module.method, self._attempt.path, body)
        referer = ""
        while True:
            answer = await self._hop(endpoint, hop, fields, referer)
            if answer.status not in FOLLOWED or not answer.field(b"location"):
                return await self._judge(answer, unread=False)
            scheme = "https" if endpoint.tls is not None else "http"
            try:
                path = next_path(
                    answer.field(b"location"), scheme, hop.path, self._authorities(endpoint, fields)
                )
            except BadLocation as error:
                self._redirects += error.counted
                return self._attempt.failed(f"the Location cannot be read: {error}")
            self._redirects += 1
            if path is not None and not self._attempt.may_follow(path):
                self._attempt.note("a redirect to a path that is another right is not followed")
                return await self._judge(answer, unread=True)
            if not module.follows or self._redirects > MOST or path is None:
                if path is None and module.follows:
                    self._attempt.note("a redirect that leaves the endpoint is not followed")
                return await self._judge(answer, unread=True)
            self._cookies.take(answer.fields, hop.path)
            self._attempt.note(f"following redirect to {path.decode('latin-1')}")
            referer = f"{scheme}://{fields['host']}{hop.path.decode('latin-1')}"
            keep = answer.status in (307, 308) or hop.method in ("GET", "HEAD")
            hop = Hop(hop.method if keep else "GET", path, hop.body if keep else b"")

    def _authorities(self, endpoint: Endpoint, fields: dict[str, str]) -> set[str]:
        return {str(endpoint).lower(), fields["host"].lower()}

    async def _hop(self, endpoint: Endpoint, hop: Hop, fields: dict[str, str], referer: str) -> Answer:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        attempt, module = self._attempt, self._module
        settings = module.tls_config if endpoint.tls is not None else None
        name = module.tls_config.server_name or _host_of(fields["host"])
        alpn = ("h2", "http/1.1") if module.enable_http2 else ("http/1.1",)
        attempt.note(f"making HTTP request method={hop.method} path={hop.path.decode('latin-1')}")
        wire = self._wire = await open_wire(attempt.environment, endpoint, settings, name, alpn)
        self._phases["connect"] += wire.connect
        self._phases["tls"] += wire.handshake
        began = time.perf_counter()
        more = [("Referer", referer)] if referer else []
        cookie = self._cookies.header(hop.path)
        if cookie:
            more.append(("Cookie", cookie))
        tls = wire.tls
        try:
            if tls is not None and tls.selected_alpn_protocol() == "h2":
                from bastion.probe.http2 import Http2Exchange  # loads h2

                answer = await Http2Exchange(wire).ask(http2_head(hop, fields, more), hop.body)
            else:
                head = http1_head(hop, fields, more)
                answer = await http1_exchange(wire, head, hop.body, to_head=hop.method == "HEAD")
        finally:
            if wire.first_byte:
                self._phases["processing"] += wire.first_byte - began
        attempt.note(f"received HTTP response status_code={answer.status}")
        return answer

    def _end_transfer(self) -> None:
        if self._transfer_began:
            self._phases["transfer"] = time.perf_counter() - self._transfer_began
            self._transfer_began = 0.0

    async def _judge(self, answer: Answer, *, unread: bool) -> bool:
        """`unread`: its body is not looked at, because it is a redirect that was not followed."""
        samples = self._samples
        self._transfer_began = self._wire.first_byte if self._wire is not None else 0.0
        samples.set("probe_http_status_code", float(answer.status))
        samples.set("probe_http_version", answer.version)
        samples.set("probe_http_content_length", float(answer.length))
        tls = self._wire.tls if self._wire is not None else None
        if tls is not None:
            samples.set("probe_http_ssl", 1.0)
            tls_samples(samples, tls, cipher=True)
        modified = http_date(answer.field(b"last-modified").decode("latin-1"))
        if modified is not None:
            samples.set("probe_http_last_modified_timestamp_seconds", modified)
        success = self._status_is_good(answer.status)
        success = success and self._headers_are_good(answer)
        success = await self._read(answer, success, unread=unread) and success
        self._end_transfer()
        return self._protocol_is_good(answer, tls) and success

    def _status_is_good(self, status: int) -> bool:
        if self._verdict is not None:
            good = self._verdict(status)
        elif self._module.valid_status_codes:
            good = status in self._module.valid_status_codes
        else:
            good = 200 <= status < 300
        return good or self._attempt.failed(f"the status {status} is not as wanted")

    def _headers_are_good(self, answer: Answer) -> bool:
        for unwanted, rules in (
            (True, self._module.fail_if_header_matches),
            (False, self._module.fail_if_header_not_matches),
        ):
            for rule in rules:
                found = (
                    []
                    if rule.header.lower() in _UNSEEN
                    else values(answer.fields, rule.header.lower().encode())
                )
                matched = any(rule.regexp.search(value) for value in found)
                missing = not found and not rule.allow_missing
                if missing or (found and matched is unwanted):
                    self._samples.set("probe_failed_due_to_regex", 1.0)
                    return self._attempt.failed(
                        f"missing required header {rule.header}"
                        if missing
                        else f"header {rule.header} {'matched' if unwanted else 'did not match'} its regexp"
                    )
        return True

    async def _read(self, answer: Answer, looked_at: bool, *, unread: bool) -> bool:
        """Whether the body could be read, and is as wanted."""
        module, samples = self._module, self._samples
        patterns = module.fail_if_body_matches_regexp or module.fail_if_body_not_matches_regexp
        expressions = module.fail_if_body_json_matches_cel or module.fail_if_body_json_not_matches_cel
        keep = bool(looked_at and (patterns or expressions))
        body = Body(module.compression, module.body_size_limit, keep=keep)
        failure = "the body of a redirect is not read" if unread and keep else ""
        good = True
        try:
            if not unread:
                async for piece in answer.body:
                    body.feed(piece)
                if module.method != "HEAD":
                    body.end()
        except TooLarge as error:
            if self._verdict is None:  # the kubelet stops reading there, and thinks no worse of it
                failure, good = str(error), False
        except Undecodable as error:
            failure, good = str(error), False
            looked_at = looked_at and not error.at_once
        except asyncio.CancelledError:  # by the deadline, which `run` tells
            if keep and patterns:
                samples.set("probe_failed_due_to_regex", 1.0)
            samples.set("probe_http_uncompressed_body_length", float(body.length))
            raise
        except BROKEN as error:
            failure, good = f"error reading HTTP body: {cause_of(error)}", False
        samples.set("probe_http_uncompressed_body_length", float(body.length))
        if failure and not unread:
            self._attempt.failed(failure)
        if not looked_at:
            return good
        if patterns and not self._patterns_are_good(body.content, failure):
            return False
        return (not expressions or self._expressions_are_good(body.content, failure)) and good

    def _patterns_are_good(self, content: bytes, failure: str) -> bool:
        matches = next((p for p in self._module.fail_if_body_matches_regexp if p.search(content)), None)
        lacks = next((p for p in self._module.fail_if_body_not_matches_regexp if not p.search(content)), None)
        if not failure and matches is None and lacks is None:
            return True
        self._samples.set("probe_failed_due_to_regex", 1.0)
        return self._attempt.failed(
            failure or f"body {'matched' if matches is not None else 'did not match'} regular expression"
        )

    def _expressions_are_good(self, content: bytes, failure: str) -> bool:
        matches = self._module.fail_if_body_json_matches_cel
        lacks = self._module.fail_if_body_json_not_matches_cel
        try:
            if failure:
                raise ValueError(failure)
            wrong = (matches is not None and matches.holds(content)) or (
                lacks is not None and not lacks.holds(content)
            )
        except ValueError as error:
            self._samples.set("probe_failed_due_to_cel", 1.0)
            return self._attempt.failed(f"CEL: {error}")
        self._samples.set("probe_failed_due_to_cel", float(wrong))
        return not wrong or self._attempt.failed("body is not as the CEL expression wants it")

    def _protocol_is_good(self, answer: Answer, tls: ssl.SSLObject | None) -> bool:
        module, good = self._module, True
        if module.valid_http_versions and f"HTTP/{answer.version}" not in module.valid_http_versions:
            good = self._attempt.failed(f"invalid HTTP version number {answer.version}")
        if tls is not None and module.fail_if_ssl:
            good = self._attempt.failed("final request was over SSL")
        if tls is None and module.fail_if_not_ssl:
            good = self._attempt.failed("final request was not over SSL")
        return good


def _host_of(authority: str) -> str:
    """Without port and brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0] if authority.count(":") == 1 else authority


def _read_file(file: str) -> bytes:
    return Path(file).read_bytes()
