"""Does what is remembered of a response's head say what reading it says?"""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.kube.user import User
from bastion.message.answers import Policy
from bastion.message.headers import Forwarded
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.envelope import Envelope
from bastion.proxy.plan import Plan
from bastion.proxy.responses import MOST, Responses
from bastion.proxy.router import Led, target_of
from bastion.runtime.turns import USER
from bastion.runtime.validity import Validity
from tests.proxy.routes import ALICE, INFO

DATES = [b"Date: Sat, 01 Jan 2000 00:00:0%d GMT" % second for second in range(10)]
LINES = [
    *DATES,
    b"date: Sat, 01 Jan 2000 00:00:00 GMT",
    b"Date:  Sat, 01 Jan 2000 00:00:00 GMT",
    b"Date: yesterday",
    b"X-A: Date: Sat, 01 Jan 2000 00:00:00 GMT",
    b"Expires: Sat, 01 Jan 2000 00:00:00 GMT",
    b"Content-Type: text/plain",
    b"Cache-Control: private",
    b"Server: s\0",
    b"X-Auth-Token: secret",
    b"X-B: \0",
]
heads = st.lists(st.sampled_from(LINES), max_size=4)


def plan_of(user: User = ALICE) -> Plan:
    asker = (USER, user.name)
    forwarded = Forwarded(b"192.0.2.1", b"h", b"https", b"/p", b"/p/x")
    return Plan(
        admitted=Admitted(INFO, None, user, user, [], asker),  # type: ignore[arg-type]
        led=Led(INFO, target_of(INFO)),
        asker=asker,
        envelope=Envelope(forwarded, False),
        begun=Record("GET", b"/p/x", "192.0.2.1", "id"),
        method="GET",
        target=b"/p/x",
        authority=b"h",
        keep_alive=True,
        validity=Validity(),
        generation=0,
        shape=0,
    )


def response(lines: list[bytes], body: bytes = b"ok") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"Content-Length: 2", b"", body))


def dated(second: int, *lines: bytes) -> bytes:
    return response([b"Server: s", DATES[second], *lines])


@given(st.lists(heads, min_size=2, max_size=8))
def test_what_is_remembered_of_heads_says_what_reading_them_says(several: list[list[bytes]]) -> None:
    plan, responses = plan_of(), Responses(Policy())
    for lines in several:
        for data in (response(lines), response([*lines, b"X-Last: 1"])):
            assert responses.read(data, plan) == Responses(Policy()).read(data, plan_of())


def test_another_moment_needs_no_reading() -> None:
    plan, responses = plan_of(), Responses(Policy())
    for second in (1, 2):
        assert responses.read(dated(second), plan) is not None
    responses._ordinary = None  # type: ignore[assignment]
    for second in (3, 4, 3):
        found = responses.read(dated(second), plan)
        assert found is not None
        assert found[0].lines.count(DATES[second] + b"\r\n") == 1
        assert found[0].lines.count(b"Date:") == 1


@pytest.mark.parametrize("body", [b"", b"o", b"okk"])
def test_a_body_of_another_length_is_read_from_the_first_byte(body: bytes) -> None:
    plan, responses = plan_of(), Responses(Policy())
    assert responses.read(dated(1), plan) is not None
    assert responses.read(response([b"Server: s", DATES[2]], body), plan) is None


def test_what_one_plan_has_of_heads_is_bounded() -> None:
    plan, responses = plan_of(), Responses(Policy())
    for number in range(100):
        for second in (number % 10, (number + 1) % 10):
            assert responses.read(dated(second, b"ETag: %d" % number), plan) is not None
        assert max(len(plan.heads), len(plan.undated)) <= MOST


def test_a_secret_is_not_kept() -> None:
    plan, responses = plan_of(), Responses(Policy())
    assert responses.read(dated(1, b"X-Auth-Token: hidden"), plan) is not None
    assert b"hidden" not in msgspec.json.encode([repr(plan.heads), repr(plan.undated)])
