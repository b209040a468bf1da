"""Sign-ins that are under way, and sessions that were ended or renewed."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from msgspec import structs

from bastion.identity.signedin import SignedIn
from bastion.message.cookies import MAX_PIECE
from bastion.signin.newest import NewestSessions
from bastion.signin.pending import MOST, SignInsUnderWay
from bastion.signin.revoked import SESSION, SID, SUBJECT, Revocations, digest
from bastion.signin.sealed import KEY_BYTES, Sealer
from bastion.signin.session import SESSION_SECONDS, SIGN_IN_SECONDS, Session

NOW = 1_800_000_000.0
HOST = "bastion.example.test"
ANNA = SignedIn(b"1", "main", "anna", "s1", "main:anna", ("main:dev",), NOW - 5, int(NOW) - 5, int(NOW) + 60)


def under_way() -> SignInsUnderWay:
    counter = itertools.count()
    return SignInsUnderWay(Sealer(b"k" * KEY_BYTES, lambda n: next(counter).to_bytes(n, "big")))


def test_each_sign_in_has_its_own_secrets() -> None:
    made = under_way()
    one, other = (made.begin("main", b"/a", NOW) for _ in range(2))
    said = [
        getattr(sign_in, name)
        for sign_in in (one, other)
        for name in ("state", "nonce", "verifier", "challenge")
    ]
    assert len(set(said)) == 8
    assert all(len(text) == 43 for text in said)
    assert one.verifier not in repr(one)


def test_a_cookie_holds_the_latest_for_a_quarter_of_an_hour() -> None:
    made = under_way()
    begun = tuple(made.begin("main", b"/%d" % n, NOW) for n in range(MOST + 2))
    cookie = made.seal(HOST, begun, NOW)
    assert made.open(HOST, cookie, NOW + SIGN_IN_SECONDS - 1) == begun[-MOST:]
    assert made.open(HOST, cookie, NOW + SIGN_IN_SECONDS) == ()
    assert made.open("evil.test", cookie, NOW) == made.open(HOST, cookie[:-1] + b"A", NOW) == ()
    assert made.seal(HOST, (), NOW) == b""


def test_long_paths_leave_room_for_the_latest() -> None:
    made = under_way()
    begun = tuple(made.begin("main", b"/" + b"p" * 1400, NOW) for _ in range(4))
    cookie = made.seal(HOST, begun, NOW)
    assert len(cookie) <= MAX_PIECE
    kept = made.open(HOST, cookie, NOW)
    assert kept == begun[-len(kept) :]
    assert kept


def test_a_session_is_ended_by_its_id_or_its_issuers_names_for_it() -> None:
    for kind, value in ((SESSION, b"1"), (SID, "s1"), (SUBJECT, "anna")):
        ended = Revocations(None, lambda: NOW)
        assert not ended.ended(ANNA)
        ended.end([digest(kind, "other", value), digest(kind, "main", "another")])
        assert not ended.ended(ANNA)
        ended.end([digest(kind, "main", value)])
        assert ended.ended(ANNA)
        assert not ended.ended(structs.replace(ANNA, begun=NOW + 0.001)), "one that began later is another"


def test_workers_see_what_another_ended(tmp_path: Path) -> None:
    one, other = (Revocations(tmp_path, time.time) for _ in range(2))
    anna = structs.replace(ANNA, begun=time.time() - 1)
    assert not one.ended(anna)
    for sid in ("s0", "s1"):
        assert not one.ended(anna)
        other.end([digest(SID, "main", sid)])
    assert one.ended(anna)
    assert Revocations(tmp_path, time.time).ended(anna), "a worker that starts later"


def test_what_was_ended_is_forgotten_with_the_longest_session(tmp_path: Path) -> None:
    now = [time.time()]
    one = Revocations(tmp_path, lambda: now[0])
    one.end([digest(SID, "main", "s1")])
    now[0] += SESSION_SECONDS + 1
    one.end([digest(SID, "main", "s2")])
    assert list(one.known()) == [digest(SID, "main", "s2")]
    Revocations(tmp_path, lambda: now[0]).ended(ANNA)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_newest_claims_are_found_by_every_older_cookie() -> None:
    newest = NewestSessions(most=2)
    assert newest.find(ANNA) is None
    renewed = Session("", int(NOW) + 900, structs.replace(ANNA, issued=ANNA.issued + 50), "rt")
    newest.put(renewed)
    known = newest.find(ANNA)
    assert known is not None
    assert known.session is renewed
    assert newest.find(structs.replace(ANNA, issued=ANNA.issued + 51)) is None, (
        "another replica renewed it since"
    )
    for n in range(2):
        newest.put(Session("", 1, structs.replace(ANNA, id=b"other%d" % n)))
    assert len(newest) == 2
    assert newest.find(ANNA) is None
