"""Answers /probe and the pages about probes: who asks, may they, and what is the result?"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bastion.http.fields import Field, values
from bastion.kube.errors import (
    error_of,
    method_not_allowed,
    refused,
    unreadable,
)
from bastion.kube.errorwords import MODULE_NOT_HERE, STOPPING
from bastion.kube.requestinfo import ApiCall, Proxied, RequestInfo
from bastion.kube.status import quoted
from bastion.message.ownorigin import data_fields
from bastion.observe.record import Record
from bastion.probe.answers import Page, debug_text, series
from bastion.probe.modulefile import DECLARED, DEFAULT
from bastion.probe.modules import Module
from bastion.probe.modulesource import ModuleSource
from bastion.probe.parameters import host_of, parameters, scrape_timeout, text_of, time_for
from bastion.probe.runner import Order, Runner
from bastion.probe.samples import CONTENT_TYPE
from bastion.probe.target import ProbeTarget, target_of, verb_of, with_port
from bastion.proxy.admission import Admission, Admitted
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.identified import Asker, Identification
from bastion.proxy.ownanswer import OwnAnswers

KNOWN = ("target", "module", "hostname", "debug", "endpoints")
LONG = b"/.bastion"  # the prefix under which each of these paths is, too
_SMALL = 512  # bytes of a body that is not worth compressing
_log = logging.getLogger("bastion.probe")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request under way."""

    exchange: Exchange
    client: str
    record: Record
    query: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """A target and the module it is asked with; `module` None: what the pods declare, or unknown."""

    target: ProbeTarget
    name: str
    module: Module | None

    @property
    def unknown(self) -> bool:
        return self.module is None and self.name != DECLARED

    @property
    def verb(self) -> str:
        return verb_of(self.module.method) if self.module is not None else "get"

    @property
    def info(self) -> RequestInfo:
        """What is asked for: a path only where the prober asks for it and for nothing else."""
        attributes = self.target.attributes(self.verb)
        if self.module is None or self.module.prober != "http":
            return ApiCall(attributes)
        return Proxied(attributes, b"", self.target.path, True)


Handler = Callable[[Asked], Awaitable[Page]]


class Doors:
    """Who may have what; the same for every page."""

    def __init__(
        self,
        admission: Admission,
        identification: Identification,
        modules: ModuleSource,
    ) -> None:
        self._admission = admission
        self._identification = identification
        self._modules = modules

    async def subject(self, asked: Asked, found: Mapping[str, bytes]) -> tuple[Subject, Admitted]:
        """Raises StatusError: 400, 401, 403."""
        subject = self.named(found)
        admitted = await self._admission.admit(asked.exchange, asked.client, asked.record, subject.info)
        if subject.unknown:
            raise unreadable(f"Unknown module {quoted(subject.name)}")
        if subject.module is not None:
            await self._check_credentials(subject, subject.module, Asker(admitted.acting_as, admitted.asker))
        return subject, admitted

    def named(self, found: Mapping[str, bytes]) -> Subject:
        """Raises StatusError 400."""
        if not found.get("target"):
            raise unreadable("the parameter target is missing")
        name = text_of(found, "module") or DEFAULT
        module = None if name == DECLARED else self._modules.get(name)
        target = target_of(found["target"])
        if module is not None and module.prober == "dns":
            target = with_port(target, "853" if module.dns.dns_over_tls else "53")
        if (name == DECLARED or (module is not None and module.prober != "http")) and target.path != b"/":
            raise unreadable(f"the module {name} takes no path: {quoted(target.rest.decode('latin-1'))}")
        return Subject(target, name, module)

    async def asker(self, asked: Asked) -> Asker:
        """Raises StatusError 401."""
        return await self._identification.identify(asked.exchange, asked.client, asked.record)

    async def may(self, asker: Asker, subject: Subject) -> bool:
        return await self._admission.permits.may(asker.user, subject.info, asker.key)

    async def _check_credentials(self, subject: Subject, module: Module, asker: Asker) -> None:
        """Where a module has credentials and does not say where they may go, only callers who may open
        everything aim it: others would aim it at a pod of their own, and read what it is shown.
        """
        target = subject.target
        allowed = module.may_go_to(target.resource, target.namespace, target.id)
        if allowed is None:
            if not module.has_credentials:
                return
            everything = ProbeTarget(target.resource, "", "", b"").attributes(subject.verb)
            allowed = await self._identification.may(asker, everything)
        if not allowed:
            raise refused(
                MODULE_NOT_HERE,
                f"the module {subject.name} may not be aimed at this target (its section bastion says where)",
                target.resource,
                target.id,
            )


class ProbePage:
    """`GET /probe`."""

    def __init__(self, doors: Doors, runner: Runner, guard: Guard) -> None:
        self._doors = doors
        self._runner = runner
        self._guard = guard

    async def __call__(self, asked: Asked) -> Page:
        found = parameters(asked.query, KNOWN)
        scrape = scrape_timeout(asked.exchange.all_fields())
        hostname = host_of(found)
        endpoints = text_of(found, "endpoints")
        if endpoints not in ("", "all", "one"):
            raise unreadable("the parameter endpoints is all or one")
        subject, admitted = await self._doors.subject(asked, found)
        module = subject.module
        if hostname and module is not None and _other_host(module, hostname):
            raise unreadable("the hostname is not the Host header that the module has")
        order = Order(subject.target, subject.name, module, hostname)
        one = endpoints == "one"
        with self._guard.place(admitted.asker, tunnel=False):
            time = time_for(scrape, module.timeout if module is not None else 0.0)
            results = await self._runner.run(order, time, admitted.asker, one=one)
        labelled = subject.target.resource == "services" and not one
        if text_of(found, "debug") == "true":
            text = debug_text(results, module, labelled=labelled)
            return Page("text/plain; charset=utf-8", text.encode("utf-8", "replace"))
        if results and all(result.broken for result in results):
            raise error_of(STOPPING, f"the prober is broken: {results[0].reason}")
        return Page(CONTENT_TYPE, series(results, labelled=labelled).encode("utf-8", "replace"))


def _other_host(module: Module, hostname: str) -> bool:
    return module.prober == "http" and any(
        name.lower() == "host" and value != hostname for name, value in module.http.headers
    )


class Probing:
    """The bastion's own paths about probes; each response is on record."""

    def __init__(self, pages: Mapping[bytes, Handler], answers: OwnAnswers) -> None:
        self._pages = pages
        self._answers = answers

    @property
    def paths(self) -> frozenset[bytes]:
        return frozenset(self._pages)

    async def serve(self, exchange: Exchange) -> None:
        """Answers, whatever happens; raises nothing but CancelledError."""
        path, _, query = exchange.target.partition(b"?")

        async def answer(client: str, record: Record) -> None:
            if exchange.method not in ("GET", "HEAD"):
                raise method_not_allowed("GET", "HEAD", method=exchange.method)
            page = await self._pages[path.removeprefix(LONG)](Asked(exchange, client, record, query))
            _send(exchange, page)

        await self._answers.serve(exchange, path, answer)


def _send(exchange: Exchange, page: Page) -> None:
    body = page.body
    fields: list[Field] = [
        (b"content-type", b"Content-Type", page.content_type.encode()),
        (b"cache-control", b"Cache-Control", b"no-store"),
        (b"vary", b"Vary", b"Accept-Encoding, Accept, Authorization, Cookie"),
        *data_fields(exchange.fields),
        *([(b"location", b"Location", page.location.encode())] if page.location else ()),
    ]
    if len(body) > _SMALL and b"gzip" in b",".join(values(exchange.fields, b"accept-encoding")):
        body = gzip.compress(body, 1)
        fields.append((b"content-encoding", b"Content-Encoding", b"gzip"))
    exchange.start(
        page.status,
        b"OK" if page.status == 200 else b"",
        fields,
        len(body),
        bodiless=exchange.method == "HEAD",
    )
    exchange.finish(b"" if exchange.method == "HEAD" else body)
