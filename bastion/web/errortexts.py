"""What a person is told of an error: a headline, the request's way, what to do.  All texts are here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bastion.kube.errorword import Hop
from bastion.kube.requestinfo import parse_proxied
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target
from bastion.message.person import ErrorFacts
from bastion.proxy.pathmode import PathFacts
from bastion.web.addresses import named as named_page
from bastion.web.addresses import page_path

MAY_PASS = frozenset((429, 503))
SOON = 10  # seconds after which a page tries again by itself

# Of a word; of others the table's own meaning.  `{name}` is the target's.
HEADLINES = {
    "NotFound": "There is no such page",
    "NotAProxyPath": "There is no such page",
    "StreamNotFound": "No such stream is open",
    "NoCredentials": "bastion does not know who you are",
    "MissingRule": "You may not open this",
    "UpgradeNeedsCreate": "You may not open a stream here",
    "ServiceNotFound": "There is no service “{name}” here",
    "PodNotFound": "There is no pod “{name}” here",
    "NodeNotFound": "There is no node “{name}”",
    "NoSuchPort": "{name} has no such port",
    "PortNeeded": "{name} has several ports",
    "SelectorMatchesNothing": "{name} has no pod behind it",
    "NoSelector": "{name} has nothing behind it",
    "PodsNotReady": "{name} has no ready endpoint",
    "AllTerminating": "All endpoints of {name} are ending",
    "ConnectionRefused": "{name} refuses connections",
    "ConnectTimeout": "{name} cannot be reached",
    "BackendSpeaksTLS": "{name} speaks TLS",
    "BackendSpeaksPlain": "{name} does not speak TLS",
    "CertificateNotTrusted": "The certificate of {name} is not trusted",
    "ClosedBeforeAnswer": "{name} hung up before it answered",
    "AnswerNotUnderstood": "{name} answered something else than HTTP",
    "AnswerTimeout": "{name} did not answer in time",
    "ApiServerAway": "The API server does not answer",
    "Overloaded": "Too much is under way",
    "InternalError": "bastion failed",
}
SANDBOXED = "This form came from a page without a session"
SANDBOXED_WHY = (
    "Pages opened by path are kept in a sandbox, so that one application cannot act as you on another. What"
    " they send counts as somebody else’s, even while you are signed in."
)
ADMINISTRATORS = (
    "bastion serve … --proxy-host-suffix apps.example.net \\\n  --public-url https://bastion.example.org"
)
_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 429: "Too Many Requests"}
_STATES = {401: "none", 404: "none", 429: "deg", 504: "deg"}


class Way(msgspec.Struct, frozen=True):
    """One dot on the request's way; `kind` as in the style sheet: bad, held, far or empty."""

    kind: str
    icon: str
    name: str
    text: str


class Step(msgspec.Struct, frozen=True):
    """What to do; `code` is to be pasted, empty where there is nothing; `links`: names and our pages."""

    text: str
    code: str = ""
    links: Sequence[tuple[str, str]] = ()


class Told(msgspec.Struct, frozen=True):
    """`retry`: seconds after which the page tries again by itself, 0: it does not."""

    state: str
    chip: str
    headline: str
    lede: str
    way: Sequence[Way]
    steps: Sequence[Step]
    details: Sequence[tuple[str, str]]
    retry: int


def told(facts: ErrorFacts, time: str) -> Told:
    sandboxed = facts.sandboxed and facts.code == 401
    name, kind = _target(facts)
    headline = HEADLINES.get(facts.word, _sentence(facts.meaning).rstrip("."))
    return Told(
        state=_STATES.get(facts.code, "down"),
        chip=f"{facts.code} {_REASONS.get(facts.code) or _words(facts.reason)}",
        headline=SANDBOXED if sandboxed else headline.format(name=name or "The target"),
        lede=SANDBOXED_WHY if sandboxed else _lede(facts),
        way=_way(facts, name, kind, sandboxed=sandboxed),
        steps=_sandbox_steps() if sandboxed else _steps(facts),
        details=[
            ("Time", time),
            ("Request", f"{facts.method} {facts.path}"),
            ("Reason", facts.word),
            ("Hop", facts.hop),
            ("Message", facts.message),
            *((f"Pods, {reason}", count) for reason, count in facts.pods),
            *((f"Pod {name}", reason) for name, reason in facts.unready),
            ("Request id", facts.request),
        ],
        retry=(facts.retry_after or SOON) if facts.code in MAY_PASS and facts.method == "GET" else 0,
    )


def bare(facts: PathFacts) -> Told:
    """Before a page is shown in its sandbox."""
    name = parse_target(facts.resource, facts.namespace, facts.id).name
    return Told(
        state="deg",
        chip="Shown without scripts and styles",
        headline=f"{name} will look broken here",
        lede=(
            "This bastion gives applications no host names of their own, so their pages are shown in a"
            " sandbox: no styles, no scripts, no forms. That keeps applications apart."
        ),
        way=[
            Way("", "user", "You", facts.user),
            Way("", "tower", "bastion", "allowed"),
            Way("", "doc", name, facts.resource[:-1]),
            Way("", "pod", "Endpoint", "answers"),
        ],
        steps=[
            Step(
                "To use it in a browser, ask an administrator for host names; they are set up once for all"
                " applications.",
                ADMINISTRATORS,
            ),
            Step(
                "From a terminal everything works now:",
                f'curl -H "Authorization: Bearer $TOKEN" {facts.origin}{facts.path}',
            ),
        ],
        details=[
            ("Address", facts.path),
            ("Why", "sandbox-pages is on, proxy-host-suffix is not set"),
            ("Request id", facts.request),
        ],
        retry=0,
    )


def _lede(facts: ErrorFacts) -> str:
    """Whether there is such a target is told by none of these words to who may not open it."""
    if not facts.rule:
        return _sentence(facts.sentence)
    try:
        found = parse_proxied(facts.method, facts.path.encode())
    except StatusError:
        found = None
    if found is None:
        return "The cluster knows you, and has no rule that allows this."
    named = found.attributes
    where = f" in namespace {named.namespace}" if named.namespace else ""
    return (
        f"The cluster knows you, and has no rule that lets you {named.verb} {named.resource}/proxy for"
        f" {named.name}{where}. Whether there is such a {named.resource[:-1]} is not said here."
    )


def _target(facts: ErrorFacts) -> tuple[str, str]:
    """Its name and kind; empty where none is named."""
    try:
        found = parse_proxied(facts.method, facts.path.encode())
        if found is None:
            page = named_page(facts.path)
            return (page[2], page[0][:-1].capitalize()) if page is not None else ("", "")
        named = found.attributes
        return parse_target(named.resource, named.namespace, named.name).name, named.resource[
            :-1
        ].capitalize()
    except StatusError:
        return "", ""


def _way(facts: ErrorFacts, name: str, kind: str, *, sandboxed: bool) -> list[Way]:
    you = Way(
        "held" if facts.code == 401 else "", "user", "You", "in a sandboxed page" if sandboxed else facts.user
    )
    target, reached = name or "The page", "not reached"
    where = facts.hop
    if where in (Hop.CLIENT, Hop.BASTION, Hop.API_SERVER):
        icon, text = _AT_BASTION.get(facts.code, ("tower", "refuses it"))
        if where == Hop.API_SERVER:
            icon, text = "unplug", "cannot ask the cluster"
        if sandboxed:
            icon, text = "lock", "no session counts"
        rest = [Way("far", "box", target, "not asked for" if facts.code == 403 else reached)]
        return [you, Way("bad held", icon, "bastion", text), *rest, Way("far", "pod", "Endpoint", reached)]
    allowed = Way("", "tower", "bastion", "allowed")
    if where == Hop.SERVICE:
        text = "does not exist" if facts.code == 404 else "leads nowhere"
        return [you, allowed, Way("bad", "box", target, text), Way("far", "pod", "Endpoint", reached)]
    there = Way("", "box", target, kind.lower())
    text = "silent" if facts.code == 504 else "not there" if where == Hop.ENDPOINT else "answers wrongly"
    return [you, allowed, there, Way("bad", "clock" if facts.code == 504 else "pod", "Endpoint", text)]


_AT_BASTION = {
    401: ("tower", "asks who you are"),
    403: ("lock", "the cluster said no"),
    429: ("clock", "too much under way"),
}


def _steps(facts: ErrorFacts) -> list[Step]:
    found = []
    if facts.near:
        found.append(Step("Near it there is what you may open:", links=[_link(one) for one in facts.near]))
    if facts.rule:
        found.append(
            Step(
                "Hand this to an administrator. It is exactly what was missing, and no more.",
                facts.rule,
            )
        )
        found.append(Step("Then try again: a rule counts within ten seconds."))
    elif look := _describe(facts):
        found.append(Step("See why they are not ready:", look))
    elif facts.remedy:
        found.append(Step(_sentence(facts.remedy)))
    if not found and facts.code in (403, 404):
        found.append(Step("See what there is that you may open."))
    if facts.code in MAY_PASS and facts.method == "GET":
        found.append(Step("Or wait: this page tries again by itself."))
    if facts.code == 504 and facts.method != "GET":
        found.append(Step("If the request changes something, look whether it has before you send it again."))
    return found


def _describe(facts: ErrorFacts) -> str:
    """Empty for who may not see the pods, and where the path does not name their namespace."""
    if not facts.unready or (found := parse_proxied(facts.method, facts.path.encode())) is None:
        return ""
    names = " ".join(name for name, _ in facts.unready)
    return f"kubectl --namespace {found.attributes.namespace} describe pods {names}"


def _link(target: str) -> tuple[str, str]:
    """`target` is `services/NAMESPACE/NAME`, or `nodes/NAME`."""
    resource, *namespace, name = target.split("/")
    return name, page_path(resource, "".join(namespace), name)


def _sandbox_steps() -> list[Step]:
    return [
        Step("Open the application by its own host name; forms, styles and scripts work there."),
        Step(
            "There is none? An administrator can set up host names once, for all applications:",
            ADMINISTRATORS,
        ),
    ]


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text[-1:] in '.!?' else '.'}" if text else ""


def _words(reason: str) -> str:
    """`ServiceUnavailable` as words."""
    return "".join(f" {letter}" if letter.isupper() else letter for letter in reason).strip()
