"""A comparison that finds nothing proves nothing: what it must find, and what it must let pass."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conformance.backends import Arrival
from tests.conformance.cases import FOLDER, Case, Mistake, load, spell_out
from tests.conformance.client import Answer
from tests.conformance.compare import differences
from tests.conformance.test_conformance import GROUPS, NET

ANSWER = Answer(200, {"content-type": ["text/plain"], "x-two": ["1", "2"]}, "ok\n", ended="whole")
ARRIVAL = Arrival(".10:8080", "GET /z HTTP/1.1", {"host": ["bastion.test"], "x-forwarded-for": ["127.0.0.1"]})
SEEN = {"backend": ".10:8080", "line": "GET /z HTTP/1.1"}
FAILURE = (
    '{"kind":"Status","apiVersion":"v1","status":"Failure","code":404,"reason":"NotFound","message":"no:'
    ' why","details":{"name":"x"}}'
)
MISSING = Answer(404, {"content-type": ["application/json"]}, FAILURE, ended="whole")


def asked(expect: Mapping[str, Any], **more: Any) -> Case:
    backend = {"answer": "200 OK", "headers": [{"Content-Type": "text/plain"}, {"X-Two": "1"}]}
    return spell_out("group", {"id": "id", "target": "/z", "backend": backend, "expect": expect, **more}, NET)


@pytest.mark.parametrize(
    "expect",
    [
        {},
        {
            "status": 200,
            "headers": {"content-type": "text/plain", "x-two": ["1", "2"], "x-none": None},
            "body": "ok\n",
            "seen": [SEEN],
        },
        {"status": "any:200|400", "headers": {"content-type": "re:text/.*"}, "body": "re:o.\n"},
        {"seen": "lines:GET /y HTTP/1.1 || GET /z HTTP/1.1"},
        {"seen": [{}]},
    ],
)
def test_as_expected(expect: Mapping[str, Any]) -> None:
    assert not differences(asked(expect), ANSWER, [ARRIVAL])


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        ({"status": 201}, "status"),
        ({"status": "any:201|400"}, "status"),
        ({"headers": {"content-type": None}}, "headers.content-type"),
        ({"headers": {"x-two": "1"}}, "headers.x-two"),
        ({"headers": {"x-none": "1"}}, "headers.x-none"),
        ({"body": "ok"}, "body"),
        ({"body": "re:o"}, "body"),
        ({"body": "gunzip:ok\n"}, "body"),
        ({"ended": "cut"}, "ended"),
        ({"received": ["ping"]}, "received"),
        ({"then": {"status": 200}}, "then.status"),
        ({"status": 200, "failure": {"reason": "NotFound"}}, "failure"),
        ({"seen": []}, "seen"),
        ({"seen": [SEEN, SEEN]}, "seen"),
        ({"seen": "lines:GET /y HTTP/1.1"}, "seen"),
        ({"seen": [{"backend": ".11:8080"}]}, "seen[0].backend"),
        ({"seen": [{"line": "GET /z HTTP/1.0"}]}, "seen[0].line"),
        ({"seen": [{"body": "x"}]}, "seen[0].body"),
        ({"seen": [{"received": ["ping"]}]}, "seen[0].received"),
        ({"seen": [{"headers": {"x-custom": "1"}}]}, "seen[0].headers.x-custom"),
        ({"seen": [{"headers": {"host": "other.test"}}]}, "seen[0].headers.host"),
    ],
)
def test_otherwise(expect: Mapping[str, Any], found: str) -> None:
    assert [line for line in differences(asked(expect), ANSWER, [ARRIVAL]) if line.startswith(found)]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"accept-encoding": ["gzip"]}, "nobody sent it"),
        ({"authorization": ["Bearer alice-token"]}, "authorization"),
        ({"host": ["10.0.0.1"]}, "host"),
        ({"x-forwarded-for": ["1.2.3.4", "127.0.0.1"]}, "x-forwarded-for"),
    ],
)
def test_what_no_case_need_say_of_a_request(headers: dict[str, list[str]], found: str) -> None:
    arrival = dataclasses.replace(ARRIVAL, headers={**ARRIVAL.headers, **headers})
    assert found in "\n".join(differences(asked({"seen": [SEEN]}), ANSWER, [arrival]))


def test_what_no_case_need_say_of_an_answer() -> None:
    invented = dataclasses.replace(ANSWER, headers={**ANSWER.headers, "x-more": ["1"]})
    assert differences(asked({}), invented, [ARRIVAL]) == ["headers.x-more: nobody sent it"]
    assert not differences(
        asked({}, backend={"send": "HTTP/1.1 200 OK\r\nX-More: 1\r\nX-Two: 1\r\nContent-Type: x\r\n"}),
        invented,
        [ARRIVAL],
    )
    assert differences(asked({}), dataclasses.replace(ANSWER, ended="cut"), [ARRIVAL]) == [
        "ended: wanted 'whole', got 'cut'"
    ]


@pytest.mark.parametrize(
    ("failure", "alike"),
    [
        ({"reason": "NotFound", "message": "no: why", "details": {"name": "x"}}, True),
        ({"message": "says:no"}, True),
        ({"message": "says:no: why"}, True),
        ({"message": "no"}, False),
        ({"message": "says:n"}, False),
        ({"reason": "Gone"}, False),
        ({"details": {"name": "y"}}, False),
    ],
)
def test_failures(failure: Mapping[str, Any], alike: bool) -> None:
    assert (not differences(asked({"status": 404, "failure": failure, "seen": []}), MISSING, [])) == alike


def test_compressed_bodies_are_compared_by_what_they_carry() -> None:
    answer = dataclasses.replace(ANSWER, body=gzip.compress(b"hello").decode("latin-1"))
    assert not differences(asked({"body": "gunzip:hello"}), answer, [ARRIVAL])
    assert differences(asked({"body": "gunzip:hell"}), answer, [ARRIVAL])


def test_a_case_is_spelled_out() -> None:
    made = asked(
        {}, method="PUT", headers=[{"X-Long": {"repeat": "ab", "times": 2}}], body={"join": ["{net}", "!"]}
    )
    head, _, body = made.request.decode().partition("\r\n\r\n")
    assert head.split("\r\n") == [
        "PUT /z HTTP/1.1",
        "Host: bastion.test",
        "Authorization: Bearer alice-token",
        "X-Long: abab",
        f"Content-Length: {len(body)}",
    ]
    assert body == f"{NET}!"
    assert asked({}, chunks=["abc"], trailers=[{"X-Sum": "1"}]).request.endswith(
        b"chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    assert asked({}, raw=["GET / HTTP/1.0", "", "early"]).request == b"GET / HTTP/1.0\r\n\r\nearly"


def test_text_after_text_is_one_write() -> None:
    steps = [
        {"answer": "200 OK", "body": "ok"},
        {"send": "more"},
        {"receive": 4},
        {"receive": "all"},
        "echo",
        "close",
    ]
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore"
    assert asked({}, backend=steps).backend == [
        ("send", sent),
        ("receive", 4),
        ("receive", None),
        ("echo", None),
        ("close", None),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"expected": {}},
        {"expect": {"stauts": 200}},
        {"expect": {"seen": [{"path": "/"}]}},
        {"backend": "sleep"},
        {"backend": {"send": "", "times": 2}},
    ],
)
def test_a_mistake_in_a_case_is_not_passed_over(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(Mistake):
        spell_out("group", {"id": "id", "target": "/", "expect": {}, **wrong}, NET)


def test_every_group_is_well_formed_and_played() -> None:
    groups = {path.stem for path in FOLDER.glob("*.yaml")}
    assert all(load(group, NET) for group in groups)
    assert groups == set(GROUPS)
