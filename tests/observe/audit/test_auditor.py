"""Is every event of a request whole, in its order, and its last one there exactly once?"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from bastion.kube.errorwords import CONNECTION_REFUSED
from bastion.kube.requestinfo import api_call, parse_proxied
from bastion.kube.status import StatusError, forbidden, unauthorized
from bastion.kube.user import User
from bastion.observe.audit.auditor import Audit
from bastion.observe.audit.counts import AuditCounts
from bastion.observe.audit.eventlog import EventLog
from bastion.observe.audit.policy import Policy, Rule
from bastion.observe.audit.trail import AuditTrail
from bastion.observe.record import Record, Repeated
from tests.fakes import run, until

TARGET = b"/api/v1/namespaces/ns/services/http:web:80/proxy/a?x=%zz&token=mine"
JANE = User("jane", "1", ("qa",), (("scopes", ("a", "b")),))
ROOT = User("root", groups=("system:masters",))
EVERYTHING = Policy((Rule("RequestResponse"),))
AT = 1767322985.678901
MOMENT = "2026-01-02T03:03:05.678901Z"
OK = {"metadata": {}, "code": 200}


class Log:
    """An outlet; `full`: it takes nothing."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.full = False

    def add(self, events: bytes, count: int) -> bool:
        if not self.full:
            self.events += map(json.loads, events.split(b"\n"))
        return not self.full


class Way:
    """Requests that pass an audit log."""

    def __init__(self, policy: Policy = EVERYTHING, **options: Any) -> None:
        self.log, self.counts, self.policy = Log(), AuditCounts(), policy
        pods = {"10.0.0.1:80": "web-0"}
        self.audit = Audit(
            EventLog(
                lambda: self.policy,
                [self.log],
                self.counts,
                lambda endpoint: pods.get(endpoint, ""),
                wall=lambda: AT,
                **options,
            )
        )

    def request(
        self, method: str = "GET", target: bytes = TARGET, agent: bytes = b"kubectl"
    ) -> tuple[Record, AuditTrail]:
        record = Record(method, target.partition(b"?")[0], "192.0.2.1", "id")
        record.agent = agent
        record.info = parse_proxied(method, target) or api_call(method, target)
        record.trail = trail = self.audit.begin(record, target)
        return record, trail

    def end(self, record: Record, code: int, sent: int = 0) -> None:
        record.measure(code, 0, sent)
        self.audit.observe(record)

    def serve(
        self, act: Callable[[Record, AuditTrail], Coroutine[Any, Any, int]], **request: Any
    ) -> list[dict[str, Any]]:
        """`act` returns the code of the response, 0 for none."""
        record, trail = self.request(**request)
        self.end(record, run(act(record, trail)))
        return self.log.events

    def stages(self) -> list[str]:
        return [event["stage"] for event in self.log.events]


async def answered(record: Record, trail: AuditTrail) -> int:
    record.user = record.acting_as = JANE
    await trail.received()
    trail.decided("by a rule", allowed=True)
    record.endpoint = "10.0.0.1:80"
    trail.started(200)
    return 200


def test_the_events_of_a_proxied_request() -> None:
    received, started, complete = Way().serve(answered)
    whole = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "auditID": "id",
        "requestURI": TARGET.decode(),
        "verb": "get",
        "user": {"username": "jane", "uid": "1", "groups": ["qa"], "extra": {"scopes": ["a", "b"]}},
        "sourceIPs": ["192.0.2.1"],
        "userAgent": "kubectl",
        "objectRef": {
            "resource": "services",
            "namespace": "ns",
            "name": "http:web:80",
            "apiVersion": "v1",
            "subresource": "proxy",
        },
        "requestReceivedTimestamp": MOMENT,
        "stageTimestamp": MOMENT,
    }
    decided = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "by a rule"}
    own = {
        "bastion.dev/endpoint": "10.0.0.1:80",
        "bastion.dev/pod": "web-0",
        "bastion.dev/bytes-received": "0",
        "bastion.dev/bytes-sent": "0",
    }
    assert received == {**whole, "stage": "RequestReceived"}
    assert started == {**whole, "stage": "ResponseStarted", "responseStatus": OK, "annotations": decided}
    assert complete == {
        **whole,
        "stage": "ResponseComplete",
        "responseStatus": OK,
        "annotations": {**decided, **own},
    }


def test_a_refused_sign_in_has_no_user_and_completes() -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        trail.refused(unauthorized())
        trail.started(401)
        return 401

    started, complete = Way().serve(act)
    assert (started["stage"], complete["stage"]) == ("ResponseStarted", "ResponseComplete")
    assert started["user"] == complete["user"] == {}
    assert "annotations" not in started


@pytest.mark.parametrize("level", ["Metadata", "RequestResponse"])
def test_a_refusal_is_told_in_the_words_that_the_client_got(level: str) -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.user = JANE
        await trail.received()
        trail.decided("", allowed=False)
        assert record.info is not None
        error = forbidden("jane", record.info.attributes, "why")
        error.word = CONNECTION_REFUSED
        said.append(json.loads(error.body()))
        trail.refused(error)
        trail.started(403)
        return 403

    said: list[Any] = []
    _, started, complete = Way(Policy((Rule(level),))).serve(act)
    assert started["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert complete["annotations"]["bastion.dev/error"] == "ConnectionRefused"
    assert complete["annotations"]["bastion.dev/hop"] == "endpoint"
    status = {name: value for name, value in said[0].items() if name not in ("kind", "apiVersion")}
    assert started["responseStatus"] == complete["responseStatus"] == status
    assert complete.get("responseObject") == (said[0] if level == "RequestResponse" else None)


def test_whom_the_user_acts_as_is_told_once_it_is_allowed() -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.user = ROOT
        await trail.received()
        record.acting_as = JANE
        trail.decided("", allowed=True)
        trail.started(200)
        return 200

    received, started, complete = Way().serve(act)
    assert [event["user"]["username"] for event in (received, started, complete)] == ["root"] * 3
    assert "impersonatedUser" not in received
    assert started["impersonatedUser"]["username"] == complete["impersonatedUser"]["username"] == "jane"


def test_rules_look_at_the_user_and_not_at_whom_they_act_as() -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.user = ROOT
        await trail.received()
        record.acting_as = JANE
        return 200

    quiet = Policy((Rule("None", users=("jane",)), Rule("Metadata")))
    assert Way(quiet).serve(act)


@pytest.mark.parametrize(
    ("began", "outcome", "code", "said"),
    [
        (0, "client-left", 499, "client-left"),
        (0, "the bastion is stopping", 503, "drained"),
        (200, "client-left", 200, "client-left"),
        (200, "aborted", 200, "backend-cut"),
        (101, "access revoked", 101, "revoked"),
        (101, "access expired", 101, "expired"),
        (101, "the endpoint is terminating", 101, "drained"),
        (101, "the backend reset the connection", 101, "backend-cut"),
        (101, "the client reset the connection", 101, "client-left"),
        (101, "closed by root", 101, "closed by root"),
        (101, "idle", 101, "idle"),
        (101, "the longest duration of a stream is over", 101, "too-long"),
        (101, "the pod is gone", 101, "pod-gone"),
    ],
)
def test_what_ends_before_its_end_completes_and_says_why(
    began: int, outcome: str, code: int, said: str
) -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.user = JANE
        await trail.received()
        if began:
            trail.started(began)
        record.outcome = outcome
        return began

    way = Way()
    complete = way.serve(act)[-1]
    assert way.stages() == ["RequestReceived", *(["ResponseStarted"] if began else []), "ResponseComplete"]
    assert complete["responseStatus"] == {"metadata": {}, "code": code}
    assert complete["annotations"]["bastion.dev/outcome"] == said


def test_a_client_that_leaves_while_it_signs_in_is_499_like_any_other() -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.outcome = "client-left"
        return 0

    (complete,) = Way().serve(act)
    assert (complete["user"], complete["responseStatus"]["code"]) == ({}, 499)


@pytest.mark.parametrize(
    ("target", "stages"),
    [
        (b"/version", ["RequestReceived", "ResponseComplete"]),
        (b"/api/v1/pods", ["RequestReceived", "ResponseComplete"]),
        (b"/api/v1/pods?watch=1", ["RequestReceived", "ResponseStarted", "ResponseComplete"]),
        (b"/api/v1/namespaces/a/pods/b/log", ["RequestReceived", "ResponseStarted", "ResponseComplete"]),
    ],
)
def test_a_response_that_cannot_last_has_no_event_for_its_beginning(target: bytes, stages: list[str]) -> None:
    way = Way()
    way.serve(answered, target=target)
    assert way.stages() == stages


def test_an_event_without_its_stage_is_not_written() -> None:
    way = Way(Policy((Rule("Metadata"),), frozenset(("RequestReceived", "ResponseStarted"))))
    way.serve(answered)
    assert way.stages() == ["ResponseComplete"]
    assert way.counts.events == 1


def test_the_level_none_writes_nothing_and_is_counted() -> None:
    way = Way(Policy((Rule("None"),)))
    assert way.serve(answered) == []
    assert (way.counts.levels, way.counts.events) == ({"None": 1}, 0)


def test_a_second_end_writes_nothing() -> None:
    way = Way()
    record, trail = way.request()
    run(answered(record, trail))
    way.end(record, 200)
    way.end(record, 200)
    assert way.stages().count("ResponseComplete") == 1
    assert record.trail is None  # nor do they hold each other


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (b'a"b\\c<d>\t', 'a"b\\c<d>\t'),
        (b"caf\xe9", "caf\ufffd"),
        ("café".encode(), "café"),
        (b"\x1b[2J\r\n{}", "\x1b[2J\r\n{}"),
        (b"u" * 1024, "u" * 1024),
        (b"u" * 70000, "u" * 1024 + "...TRUNCATED"),
    ],
)
def test_what_a_client_writes_stays_in_its_field(agent: bytes, said: str) -> None:
    events = Way().serve(answered, agent=agent)
    assert [event["userAgent"] for event in events] == [said] * 3


def test_a_name_that_is_no_utf_8_breaks_no_event() -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.user = User("a\udcff", groups=("g\udcff",), extra=(("k\udcff", ("v\udcff",)),))
        await trail.received()
        return 200

    assert Way().serve(act)[0]["user"] == {"username": "a?", "groups": ["g?"], "extra": {"k?": ["v?"]}}


def test_what_an_authorizer_cannot_decide_has_only_a_reason() -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.user = JANE
        await trail.received()
        trail.undecided()
        return 503

    assert Way().serve(act)[1]["annotations"] == {"authorization.k8s.io/reason": "internal error"}


# --- requests that repeat


def remembered(way: Way) -> Record:
    """What is on record of each repetition of a request."""
    record, trail = way.request()
    run(answered(record, trail))
    begun = Record("GET", record.path, record.client, "", info=record.info)
    begun.repeated = Repeated(audited=trail.subject())
    way.end(record, 200, sent=3)
    return begun


@pytest.mark.parametrize("omit", [(), ("RequestReceived",), ("RequestReceived", "ResponseStarted")])
def test_a_repetition_says_the_same_and_has_its_own_id_and_times(omit: tuple[str, ...]) -> None:
    way = Way(Policy((Rule("Metadata"),), frozenset(omit)))
    begun = remembered(way)
    first, way.log.events[:] = list(way.log.events), []
    for sent in (3, 4):
        again = begun.again('an "id"', "upstream")
        again.endpoint = "10.0.0.1:80"
        if way.audit.announces(again):
            way.audit.again(again, TARGET)
        way.end(again, 200, sent=sent)
        way.audit.flush()
        assert all(event["requestReceivedTimestamp"] <= event["stageTimestamp"] for event in way.log.events)
        times = {"requestReceivedTimestamp": MOMENT, "stageTimestamp": MOMENT}
        if sent == 3:
            assert [{**event, **times, "auditID": "id"} for event in way.log.events] == first
        else:
            assert way.log.events[-1]["annotations"]["bastion.dev/bytes-sent"] == "4"
        assert {event["auditID"] for event in way.log.events} == {'an "id"'}
        way.log.events.clear()
    assert way.counts.levels == {"Metadata": 3}
    assert way.counts.events == 3 * len(first)


def test_repetitions_are_gathered_and_none_is_lost() -> None:
    async def scenario() -> None:
        for number in range(150):
            again = begun.again(str(number), "upstream")
            way.end(again, 200)
        assert 0 < len(way.log.events) < 450
        await until(lambda: len(way.log.events) == 300)

    way = Way(Policy((Rule("Metadata"),), frozenset(("RequestReceived",))), gathers=True)
    begun = remembered(way)
    way.log.events.clear()
    run(scenario())
    assert [event["auditID"] for event in way.log.events[1::2]] == [str(number) for number in range(150)]
    assert {event["stage"] for event in way.log.events[::2]} == {"ResponseStarted"}


def test_a_repetition_whose_client_leaves_completes_and_says_so() -> None:
    way = Way()
    again = remembered(way).again("other", "upstream")
    way.log.events.clear()
    again.outcome = "client-left"
    way.end(again, 0)
    assert way.stages() == ["RequestReceived", "ResponseComplete"]
    assert way.log.events[-1]["responseStatus"]["code"] == 499


def test_a_repetition_that_tried_several_endpoints_says_how_many() -> None:
    way = Way()
    again = remembered(way).again("other", "upstream")
    way.log.events.clear()
    again.endpoint, again.tried = "10.0.0.1:80", 3
    way.end(again, 200)
    said = [event.get("annotations", {}).get("bastion.dev/attempts") for event in way.log.events]
    assert said == [None, None, "3"]


def test_a_repetition_that_goes_on_in_a_task_is_as_any_other() -> None:
    way = Way()
    again = remembered(way).again("other", "upstream")
    way.log.events.clear()
    trail = way.audit.again(again, TARGET)
    assert trail is not None
    trail.refused(StatusError(503, "ServiceUnavailable", "no"))
    trail.started(503)
    way.end(again, 503)
    assert way.stages() == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert way.log.events[-1]["responseStatus"]["message"] == "no"


# --- events that are waited for


class Deliveries:
    def __init__(self, *taken: bool) -> None:
        self._taken = list(taken)
        self.posts: list[list[str]] = []

    async def __call__(self, events: Sequence[bytes]) -> bool:
        self.posts.append([json.loads(event)["stage"] for event in events])
        return self._taken.pop(0) if self._taken else True


def test_a_request_waits_for_its_events_in_their_order() -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        code = await answered(record, trail)
        way.end(record, code)
        assert trail.holds
        assert await trail.delivered()
        return code

    deliveries = Deliveries()
    way = Way(awaited=deliveries)
    way.serve(act)
    assert deliveries.posts == [["RequestReceived"], ["ResponseStarted", "ResponseComplete"]]


@pytest.mark.parametrize("strict", [True, False])
def test_only_where_it_is_strict_a_request_fails_without_its_event(*, strict: bool) -> None:
    async def act(record: Record, trail: AuditTrail) -> int:
        record.user = JANE
        try:
            await trail.received()
        except StatusError as error:
            return error.code
        return 200

    way = Way(awaited=Deliveries(False), strict=strict)
    record, trail = way.request()
    assert run(act(record, trail)) == (500 if strict else 200)
    way = Way(strict=strict)
    way.log.full = True
    record, trail = way.request()
    assert run(act(record, trail)) == (500 if strict else 200)
