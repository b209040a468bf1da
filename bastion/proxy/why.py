"""Why is a request answered as it is?  `GET /why` walks the same decisions in words, and dials nothing.

One's own rights; those of another user for those who may impersonate that user.  The order is that of the
way: who is not authorized for an id learns nothing of what is behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
import orjson

from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.discovery.resolution import Resolution
from bastion.http.fields import first_value
from bastion.kube.attributes import Attributes
from bastion.kube.errors import RULE, method_not_allowed, unreadable
from bastion.kube.requestinfo import VERBS, Proxied, parse_proxied
from bastion.kube.status import CONTENT_TYPE, StatusError
from bastion.kube.user import User
from bastion.message.ownorigin import data_fields
from bastion.observe.record import Record
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.identified import Asker, Identification
from bastion.proxy.ownanswer import OwnAnswers
from bastion.proxy.permit import Permits, Permitted
from bastion.proxy.router import Router

PATH = b"/why"
TARGETS = "services/NAMESPACE/ID, pods/NAMESPACE/ID, nodes/ID, or a path with /proxy/"
_VERBS = frozenset(verb for verb in VERBS.values() if verb)


class Step(msgspec.Struct, frozen=True):
    step: str
    ok: bool
    says: str


class Walk(msgspec.Struct, frozen=True):
    """`word`, `hop` and `rule` are those of the error that ends the way, empty where none does."""

    user: str
    verb: str
    target: str
    steps: list[Step]
    word: str = ""
    hop: str = ""
    rule: str = ""


class Why:
    def __init__(
        self,
        *,
        identification: Identification,
        impersonator: ImpersonationAuthorizer,
        permits: Permits,
        router: Router,
        guard: Guard,
        answers: OwnAnswers,
    ) -> None:
        self._identification = identification
        self._impersonator = impersonator
        self._permits = permits
        self._router = router
        self._guard = guard
        self._answers = answers

    async def serve(self, exchange: Exchange) -> None:
        """Answers, whatever happens; raises nothing but CancelledError."""
        path, _, query = exchange.target.partition(b"?")

        async def answer(client: str, record: Record) -> None:
            if exchange.method not in ("GET", "HEAD"):
                raise method_not_allowed("GET", "HEAD", method=exchange.method)
            _send(exchange, await self._asked(exchange, client, record, query))

        await self._answers.serve(exchange, path, answer)

    async def _asked(self, exchange: Exchange, client: str, record: Record, query: bytes) -> Walk:
        """Raises StatusError."""
        asker = await self._identification.identify(exchange, client, record)
        if record.trail is not None:
            await record.trail.received()
        given = dict(parse_qsl(query.decode("latin-1")))
        verb, info = given.get("verb", "get"), _target(given)
        if verb not in _VERBS:
            raise unreadable(f"the parameter verb is one of {', '.join(sorted(_VERBS))}")
        user = asker.user
        if given.get("user", user.name) != user.name:
            line = (b"impersonate-user", b"Impersonate-User", given["user"].encode("latin-1"))
            assumed = await self._impersonator.impersonate(user, [line], (), asker.key)
            user = assumed.user if assumed is not None else user
        attributes = msgspec.structs.replace(info.attributes, verb=verb)
        with self._guard.place(asker.key, tunnel=False):
            info = msgspec.structs.replace(info, attributes=attributes)
            return await self.walk(user, info, asker)

    async def walk(self, user: User, info: Proxied, asker: Asker) -> Walk:
        """As far as the way leads.  Raises StatusError only where nothing could be decided."""
        asked = info.attributes
        groups = f", of the groups {', '.join(user.groups)}" if user.groups else ""
        steps = [Step("user", True, f"{user.name}{groups}")]
        walk = Walk(user.name, asked.verb, _shown(asked), steps)
        try:
            permitted = await self._permits.permit(user, info, asked, asker.key)
        except StatusError as error:
            if error.code not in (400, 403):
                raise
            return _ended(walk, "rule", error)
        steps.append(_rule_step(permitted))
        try:
            resolved = await self._router.resolved(info, asker.key)
        except StatusError as error:
            return _ended(walk, error.word.hop if error.word is not None else "target", error)
        steps += _resolved_steps(resolved)
        return walk


def _rule_step(permitted: Permitted) -> Step:
    allowed, group = permitted.question[1], permitted.group
    right = f"{allowed.resource}/{allowed.subresource}"
    because = f": {permitted.reason}" if permitted.reason else ""
    path = f"the path is of the group {group}; " if group else ""
    return Step("rule", True, f"{path}may {allowed.verb} {right}{because}")


def _resolved_steps(resolved: Resolution) -> list[Step]:
    resource, _, name, port = resolved.key
    count, others = len(resolved.endpoints), len(resolved.standby)
    beside = f", and {others} in the other address family stand by" if others else ""
    tls = resolved.endpoints[0].tls
    if tls is None:
        spoken = "plain HTTP is spoken"
    else:
        spoken = "TLS is spoken, and verified" if tls.authority else "TLS is spoken, and not verified"
    return [
        Step("target", True, f"the {resource.removesuffix('s')} {name} is there"),
        Step("port", True, f"port {port}"),
        Step("endpoints", True, f"{count} may be dialled{beside}"),
        Step("tls", True, spoken),
    ]


def _ended(walk: Walk, step: str, error: StatusError) -> Walk:
    walk.steps.append(Step(step, False, error.message))
    return msgspec.structs.replace(
        walk,
        word=error.name,
        hop=error.word.hop if error.word is not None else "",
        rule=next((cause.message for cause in error.causes if cause.field == RULE), ""),
    )


def _target(given: Mapping[str, str]) -> Proxied:
    """Raises StatusError 400."""
    text = given.get("target", "")
    path = text
    if not text.startswith("/"):
        resource, _, rest = text.partition("/")
        namespace, _, name = rest.rpartition("/")
        where = f"namespaces/{namespace}/" if resource != "nodes" else ""
        path = f"/api/v1/{where}{resource}/{name or rest}/proxy/"
    info = parse_proxied("GET", path.encode("latin-1", "replace"))
    if info is None:
        raise unreadable(f"the parameter target is {TARGETS}")
    return info


def _shown(asked: Attributes) -> str:
    return "/".join(part for part in (asked.resource, asked.namespace, asked.name) if part)


def _send(exchange: Exchange, walk: Walk) -> None:
    plain = b"text/plain" in first_value(exchange.fields, b"accept")
    if plain:
        kind, body = b"text/plain; charset=utf-8", as_text(walk).encode("utf-8", "replace")
    else:
        kind, body = CONTENT_TYPE, orjson.dumps(msgspec.to_builtins(walk)) + b"\n"
    fields = [
        (b"content-type", b"Content-Type", kind),
        (b"cache-control", b"Cache-Control", b"no-cache, private"),
        *data_fields(exchange.fields),
    ]
    exchange.start(200, b"", fields, len(body))
    exchange.finish(b"" if exchange.method == "HEAD" else body)


def as_text(walk: Walk) -> str:
    lines = [f"{walk.user} {walk.verb} {walk.target}"]
    lines += [f"  {'yes' if step.ok else 'no '}  {step.step}: {step.says}" for step in walk.steps]
    if walk.word:
        lines.append(f"answer: {walk.word} (hop {walk.hop})")
    else:
        lines.append("answer: the request is sent to an endpoint")
    return "\n".join(lines) + "\n" + (f"\n{walk.rule}" if walk.rule else "")
