"""Which requests are one and the same to what decides, and what may a user fill the memory with?"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bastion.authn.authenticator import Credentials
from bastion.authz.authorizer import Decision
from bastion.http.fields import field_of
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.message.headers import Forwarded
from bastion.message.lines import request_lines
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.envelope import Envelope
from bastion.proxy.plan import LONGEST, MOST, Once, Plans
from bastion.runtime.turns import USER
from bastion.runtime.validity import CachedResult, Generation, Validity
from bastion.server.http1.connection import Peer
from bastion.server.http1.head import Head
from bastion.server.http1.known import HeadParser
from bastion.server.http1.reader import HeadReader
from tests.proxy.exchanges import Exchange
from tests.proxy.routes import ALICE, INFO

MIB = 1 << 20


class World:
    """Clocks, files and caches that say what the test wants."""

    def __init__(self) -> None:
        self.now = self.wall = 0.0
        self.generation = Generation()
        self.user: CachedResult[User | None] | None = CachedResult(ALICE, Validity(expires=20.0))
        self.decision: CachedResult[Decision] | None = CachedResult(Decision(True), Validity(until=10.0))
        self.plans = Plans(
            request_lines(field_of),
            lambda credentials: self.user,
            lambda user, attributes: self.decision,
            self.generation,
            lambda: self.now,
            lambda: self.wall,
            lambda key, asker: True,
        )

    def remember(self, key: bytes, user: User = ALICE, *, asked: int = 0, session: bool = False) -> bool:
        """`asked`: the generation in which it was decided."""
        exchange = Exchange(key=key)
        forwarded = Forwarded(b"192.0.2.1", b"h", b"https", b"/p", b"/p/x")
        credentials = Credentials("secret", session=session)
        admitted = Admitted(INFO, credentials, user, user, [(user, INFO.attributes)], (USER, user.name))
        record = Record("GET", b"/p/x", "192.0.2.1", "id")
        self.plans.remember(exchange, admitted, Envelope(forwarded, False), record, asked)
        return self.plans.known(key) is not None


def test_a_plan_holds_until_the_earliest_end_of_what_it_stands_on() -> None:
    world = World()
    assert world.remember(b"k")
    world.now = 9.9
    assert world.plans.known(b"k") is not None
    world.now = 10.0
    assert world.plans.known(b"k") is None
    assert len(world.plans) == 0


def test_a_plan_ends_by_the_date_though_the_clock_was_set() -> None:
    world = World()
    assert world.remember(b"k")
    world.wall = 20.0
    assert world.plans.known(b"k") is None


def test_a_file_that_changed_ends_all_plans_and_those_that_were_being_made() -> None:
    world = World()
    assert world.remember(b"k")
    world.generation.advance()
    assert world.plans.known(b"k") is None
    assert not world.remember(b"k", asked=0), "it was decided by what the file was before"
    assert world.remember(b"k", asked=1)


def test_what_no_cache_holds_is_not_remembered() -> None:
    for spoil in ("user", "decision"):
        world = World()
        setattr(world, spoil, None)
        assert not world.remember(b"k")
    world = World()
    world.user = CachedResult(User("bob"))
    assert not world.remember(b"k"), "the cache knows another by now"
    assert not World().remember(b"k", session=True)
    assert not World().remember(b"")


# --- the key

PASSING = [
    b"X-A: 1",
    b"X-A: 2",
    b"Accept-Language: de",
    b"X-Request-Id: 17",
    b"Referer: https://h/?q",
    b"DNT: 1",
]
DECIDING = [
    b"Authorization: Bearer a",
    b"Authorization: Bearer b",
    b"Cookie: a=b",
    b"Impersonate-User: x",
    b"X-Bastion-Authorization: Bearer a",
    b"X-Forwarded-For: 192.0.2.1",
    b"Origin: https://h",
    b"Sec-Fetch-Site: none",
    b"User-Agent: u",
    b"Accept: text/html",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Host: other",
]
some = st.lists(st.sampled_from(PASSING), max_size=4)
deciding = st.lists(st.sampled_from(DECIDING), max_size=4)


def _key(
    plans: Plans, lines: Iterable[bytes], line: bytes = b"GET /x HTTP/1.1", peer: bytes = b"p" * 32
) -> bytes:
    _, deciding = plans.lines.sort([b"Host: h", *lines], "c")
    return plans.key(peer, line, deciding)


@given(deciding, deciding, some, some, st.data())
@example([b"User-Agent: u"], [b"User-Agent:u"], [], [], None)
def test_what_only_passes_makes_no_difference_and_what_decides_always_does(
    one: list[bytes], other: list[bytes], some: list[bytes], more: list[bytes], data: st.DataObject | None
) -> None:
    def mixed(lines: list[bytes], between: list[bytes]) -> list[bytes]:
        """In any order, but for that of the lines that decide."""
        mixed = list(lines)
        for line in between:
            mixed.insert(data.draw(st.integers(0, len(mixed))) if data is not None else 0, line)
        return mixed

    plans = World().plans
    first = _key(plans, mixed(one, some))
    assert first == _key(plans, mixed(one, more))
    assert (first == _key(plans, mixed(other, more))) == (one == other)


def test_the_request_line_and_the_peer_are_part_of_the_key() -> None:
    plans = World().plans
    peers = [
        plans.peer("192.0.2.1", b"http", ()),
        plans.peer("192.0.2.2", b"http", ()),
        plans.peer("192.0.2.1", b"https", ()),
        plans.peer("192.0.2.1", b"https", (b"a", b"b")),
        plans.peer("192.0.2.1", b"https", (b"ab",)),
        plans.peer("192.0.2.1", b"https", (b"a",)),
    ]
    lines = [b"GET /x HTTP/1.1", b"GET /y HTTP/1.1", b"HEAD /x HTTP/1.1", b"GET /x HTTP/1.0"]
    keys = {_key(plans, [], line, peer) for line in lines for peer in peers}
    assert len(keys) == len(lines) * len(peers)
    assert _key(plans, []) != _key(World().plans, []), "under a key of its own in each process"


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r\n", b"\n\r"])
def test_a_line_end_that_is_none_never_finds_a_plan(end: bytes) -> None:
    """A request line with a bare LF in it could be the request line and a field of another."""
    world = World()
    known = HeadParser(world.plans, Peer("192.0.2.1"))
    whole = b"GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: u"
    head = known(whole)
    assert known.plan is None and world.remember(head.key)
    known(whole)
    assert known.plan is not None
    for parts in (whole.replace(b"\r\n", end, 1), whole.replace(b"\r\nUser", end + b"User")):
        with pytest.raises(Exception, match=r"CRLF|request line"):
            known(parts)


# --- the memory


def test_a_user_who_floods_it_pushes_out_nobody_elses() -> None:
    world = World()
    world.user = CachedResult(ALICE)
    assert all(world.remember(b"a%d" % number) for number in range(100))
    bob = world.user = CachedResult(User("bob"))
    assert bob.value is not None
    for number in range(3 * MOST):
        world.remember(b"b%d" % number, bob.value)
    assert len(world.plans) == MOST
    assert all(world.plans.known(b"a%d" % number) is not None for number in range(100))


def test_a_flood_of_different_heads_takes_a_bounded_memory() -> None:
    world = World()
    known = HeadParser(world.plans, Peer("192.0.2.1"))
    tracemalloc.start()
    try:
        for number in range(4 * MOST):
            line = b"GET /%d HTTP/1.1\r\nHost: h\r\nX-A: %b%d\r\nUser-Agent: %b%d" % (
                number,
                b"x" * 400,
                number,
                b"y" * 400,
                number,
            )
            head = known(line)
            world.remember(head.key)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 24 * MIB
    assert _key(world.plans, [b"User-Agent: " + b"u" * LONGEST]) == b""


def test_a_plan_needs_a_decision_that_allows() -> None:
    world = World()
    world.decision = CachedResult(Decision(False))
    assert not world.remember(b"k")


def test_a_plan_is_made_for_what_comes_a_second_time() -> None:
    plans = Plans(
        request_lines(field_of), lambda credentials: None, lambda *question: None, Generation(), lambda: 0.0
    )
    lines = [WHOLE % b"", WHOLE % b"X-B: b\r\n", (WHOLE % b"").replace(b"/x", b"/y")]
    parser, other = (HeadParser(plans, Peer(address)) for address in ("192.0.2.1", "192.0.2.2"))
    first, second, third = (_next(parser, data) for data in lines)
    assert (first.key, bool(second.key), third.key) == (b"", True, b"")
    assert _next(other, lines[0]).key == b"", "of another client"
    assert first.fields == second.fields, "what decides is handed the same"


def test_a_flood_of_what_comes_once_pushes_out_nobody_elses() -> None:
    once = Once()
    assert [once(-1, "alice") for _ in range(3)] == [False, True, True]
    for number in range(3 * MOST):
        once(number, "bob")
    assert once(-1, "alice")


# --- whole heads

WHOLE = b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nAuthorization: Bearer a\r\n%b\r\n"


def _next(parser: HeadParser, data: bytes) -> Head:
    head = parser.next(HeadReader(), data)
    assert head is not None
    return head


def _known_whole(world: World, data: bytes, address: str = "192.0.2.1") -> bool:
    """After it has come three times."""
    parser = HeadParser(world.plans, Peer(address))
    assert world.remember(_next(parser, data).key)
    _next(parser, data)
    again = _next(parser, data)
    assert parser.plan is not None
    return not isinstance(again.lines, list)


def test_a_head_that_came_before_says_the_same_again() -> None:
    world = World()
    parser = HeadParser(world.plans, Peer("192.0.2.1"))
    data = WHOLE % b"Cookie: a=b\r\n"
    first = _next(parser, data)
    assert world.remember(first.key)
    by_lines = _next(parser, data)
    whole = _next(parser, data)
    assert b"".join(whole.passed) == b"".join(by_lines.passed) == b"X-A: 1\r\n"
    assert [field_of(line) for line in whole.lines] == first.fields
    assert len(world.plans._heads) == 1
    kept = repr(list(world.plans._heads._values.items()))
    assert "Bearer a" not in kept and "a=b" not in kept


NEVER_KEPT = {
    "a line that may carry a secret passes": b"X-Api-Key: hidden\r\n",
    "many such lines": b"X-Api-Key: hidden\r\nX-Token: hidden\r\nX-A-Key: hidden\r\nX-B-Key: hidden\r\n",
    "it is called by its client": b"Audit-Id: hidden\r\n",
}


@pytest.mark.parametrize("line", NEVER_KEPT.values(), ids=NEVER_KEPT)
def test_what_is_another_one_each_time_or_a_secret_is_never_kept(line: bytes) -> None:
    world = World()
    parser = HeadParser(world.plans, Peer("192.0.2.1"))
    assert world.remember(_next(parser, WHOLE % line).key)
    for _ in range(20):
        head = _next(parser, WHOLE % line)
        assert b"".join(head.passed) == b"X-A: 1\r\n" + line
        assert head.audit_id == ("hidden" if b"Audit" in line else "")
    kept = world.plans._heads._values, world.plans.lines._lines._values, parser._varying
    assert "hidden" not in repr(kept)


@pytest.mark.parametrize("before", [b"\r\n", b""], ids=["an empty line", "nothing"])
def test_only_a_segment_that_is_one_head_is_kept_whole(before: bytes) -> None:
    world, data = World(), WHOLE % b""
    assert _known_whole(world, before + data) == (before == b"")
    parser, reader = HeadParser(world.plans, Peer("192.0.2.2")), HeadReader()
    assert world.remember(_next(parser, data).key)
    kept = len(world.plans._heads)
    for parts in ((data[:20], data[20:]), (data + data[:20], data[20:])):
        for part in parts:
            parser.next(reader, part)
        reader.take()
    assert len(world.plans._heads) == kept


def test_a_whole_head_is_known_for_as_long_as_its_plan_and_for_one_client() -> None:
    world, data = World(), WHOLE % b""
    assert _known_whole(world, data)
    parser = HeadParser(world.plans, Peer("192.0.2.2"))
    _next(parser, data)
    assert parser.plan is None, "another client's"
    world.now = 10.0
    parser = HeadParser(world.plans, Peer("192.0.2.1"))
    assert isinstance(_next(parser, data).lines, list)
    assert parser.plan is None
    assert len(world.plans._heads) == 0


def test_a_client_with_other_lines_each_time_is_seldom_looked_for() -> None:
    world = World()
    parser = HeadParser(world.plans, Peer("192.0.2.1"))
    assert world.remember(_next(parser, WHOLE % b"").key)
    many = b"".join(b"X-%d: %%d\r\n" % number for number in range(4))
    for number in range(8 + 5 * 16):
        _next(parser, WHOLE % (many % ((number,) * 4)))
    assert len(world.plans._heads) == 8 + 5 - 1
    for _ in range(32):
        _next(parser, WHOLE % b"X-B: 5\r\n")
    assert parser._strange == 0


# --- lines that are others in every request

IDS = b"X-Request-Id: %d\r\nX-B: b\r\ntraceparent:  %d \r\n"


def test_a_line_that_is_another_one_each_time_is_left_out_of_what_is_looked_for() -> None:
    world = World()
    parser = HeadParser(world.plans, Peer("192.0.2.1"))
    assert world.remember(_next(parser, WHOLE % b"").key)
    for number in range(20):
        head = _next(parser, WHOLE % (IDS % (number, number)))
        assert b"".join(
            head.passed
        ) == b"X-A: 1\r\n" + b"X-Request-Id: %d\r\nX-B: b\r\ntraceparent: %d\r\n" % (
            number,
            number,
        )
        assert list(head.lines) == [b"Host: h", b"Authorization: Bearer a"]
    assert not isinstance(head.lines, list)
    assert len(world.plans._heads) < 5
    assert parser.plan is not None


@pytest.mark.parametrize(
    "line",
    [
        b"X-Request-Id: a\rb",
        b"X-Request-Id: a\nAuthorization: Bearer b",
        b"X-Request-Id: a\0b",
        b"X-Request-Id: " + b"a" * 65536,
        b"\0",
    ],
    ids=["a bare CR", "a bare LF", "a NUL", "too long", "a NUL in place of the line"],
)
def test_what_is_left_out_is_held_to_the_same_rules(line: bytes) -> None:
    world = World()
    parser = HeadParser(world.plans, Peer("192.0.2.1"))
    data = b"GET /x HTTP/1.1\r\nHost: h\r\nX-Request-Id: %d\r\nX-A: 1\r\n\r\n"
    assert world.remember(_next(parser, data % 0).key)
    for number in range(5):
        assert parser.plan is None or number
        _next(parser, data % number)
    assert not isinstance(_next(parser, data % 6).lines, list)
    bad = (data % 0).replace(b"X-Request-Id: 0", line)
    for other in (parser, HeadParser(world.plans, Peer("192.0.2.1"))):
        for sent in (bad, bad.replace(b"\r\n\0\r\n", b"\0\r\n")):
            with pytest.raises(StatusError):
                _next(other, sent)


lines_of_a_head = st.lists(
    st.sampled_from(
        [
            *PASSING,
            *DECIDING,
            b"X-Id: 1",
            b"X-Id: 2",
            b"X-Id:3 ",
            b"X-Key: k",
            b"X-Key: l",
            b"X: \0",
            b"X : 1",
        ]
    ),
    max_size=5,
)


@given(st.lists(lines_of_a_head, min_size=2, max_size=12))
def test_what_is_remembered_of_heads_says_what_reading_them_says(heads: list[list[bytes]]) -> None:
    world = World()
    parser = HeadParser(world.plans, Peer("192.0.2.1"))
    for lines in (lines for lines in heads for _ in range(2)):
        data = b"\r\n".join((b"GET /x HTTP/1.1", b"Host: h", *lines, b"", b""))
        reader = HeadParser(world.plans, Peer("192.0.2.1"))
        try:
            read = reader(data[:-4])
        except StatusError:
            with pytest.raises(StatusError):
                _next(parser, data)
            continue
        head = _next(parser, data)
        assert parser.plan is reader.plan
        assert b"".join(head.passed) == b"".join(read.passed)
        assert list(head.lines) == list(read.lines)
        if head.key:
            world.remember(head.key)
