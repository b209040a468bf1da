"""Can a code be used twice, late, elsewhere, or by somebody else?"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from bastion.signin.handoff import CODE_SECONDS, MAX_PATH, Handoff
from bastion.signin.once import ProcessUsedIds
from bastion.signin.sealed import KEY_BYTES, Sealer
from bastion.signin.session import SIGN_IN_SECONDS, Session
from tests.present import present

NOW = 1_800_000_000.0
APP, OTHER = "web--shop.svc.proxy.example.test", "evil--shop.svc.proxy.example.test"
ALICE = Session("token-of-alice", int(NOW) + 3600)


def handoff(start: int = 0) -> Handoff:
    counter = itertools.count(start)
    return Handoff(Sealer(b"k" * KEY_BYTES, lambda n: next(counter).to_bytes(n, "big")), ProcessUsedIds())


def code_for(
    made: Handoff, host: str = APP, path: bytes = b"/a?b", nonce: bytes = b""
) -> tuple[bytes, bytes]:
    """(the nonce in the browser, a code)"""
    nonce, request = made.begin(host, path, nonce, NOW)
    return nonce, made.make_code(host, present(made.open_request(host, request, NOW)), ALICE, NOW)


def entry_for(
    made: Handoff, host: str = APP, path: bytes = b"/a?b", nonce: bytes = b""
) -> tuple[bytes, bytes]:
    nonce, code = code_for(made, host, path, nonce)
    proof = present(made.redeem(host, code, nonce, NOW)).proof
    return nonce, made.make_entry(host, present(made.open_proof(host, proof, ALICE, NOW)), ALICE, NOW)


# Both are taken in the same way: how to get one, how to take it.
STEPS = {"code": (code_for, Handoff.redeem), "entry": (entry_for, Handoff.enter)}


@pytest.fixture(params=STEPS.values(), ids=STEPS)  # type: ignore[call-overload, untyped-decorator]
def step(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_it_tells_where_to_and_whose_it_is_and_nothing_of_the_token(
    step: tuple[Callable[..., Any], Callable[..., Any]],
) -> None:
    made, (get, take) = handoff(), step
    nonce, sealed = get(made)
    redeemed = take(made, APP, sealed, nonce, NOW + 1)
    assert (redeemed.path, redeemed.bound) == (b"/a?b", True)
    assert ALICE.token.encode() not in sealed + redeemed.proof


def test_only_an_entry_tells_of_the_session() -> None:
    made = handoff()
    nonce, code = code_for(made)
    redeemed = made.redeem(APP, code, nonce, NOW)
    assert present(redeemed).session is None
    assert made.enter(APP, code, nonce, NOW) is None
    nonce, entry = entry_for(made)
    assert made.redeem(APP, entry, nonce, NOW) is None
    assert present(made.enter(APP, entry, nonce, NOW)).session == ALICE


OTHERS = [Session("token-of-mallory", ALICE.until), Session(ALICE.token, ALICE.until + 1)]


@pytest.mark.parametrize("session", OTHERS)
def test_a_proof_is_of_the_session_that_was_there_when_the_code_was_granted(session: Session) -> None:
    made = handoff()
    nonce, code = code_for(made)
    proof = present(made.redeem(APP, code, nonce, NOW)).proof
    assert made.open_proof(APP, proof, session, NOW) is None
    assert made.open_proof(OTHER, proof, ALICE, NOW) is None
    assert made.open_proof(APP, proof, ALICE, NOW + CODE_SECONDS) is None
    assert made.open_proof(APP, code, ALICE, NOW) is None, "a code proves nothing"
    assert present(made.open_proof(APP, proof, ALICE, NOW)).path == b"/a?b"


def test_it_is_good_once(step: tuple[Callable[..., Any], Callable[..., Any]]) -> None:
    made, (get, take) = handoff(), step
    nonce, sealed = get(made)
    assert take(made, APP, sealed, nonce, NOW) is not None
    assert take(made, APP, sealed, nonce, NOW) is None


def test_in_another_replica_it_is_still_this_browsers_alone(
    step: tuple[Callable[..., Any], Callable[..., Any]],
) -> None:
    get, take = step
    nonce, sealed = get(handoff())
    elsewhere = handoff(start=1000)
    assert take(elsewhere, APP, sealed, b"", NOW).bound is False
    assert take(elsewhere, APP, sealed, nonce, NOW).bound is True


def test_somebody_elses_browser_does_not_get_it_and_does_not_use_it_up(
    step: tuple[Callable[..., Any], Callable[..., Any]],
) -> None:
    made, (get, take) = handoff(), step
    nonce, sealed = get(made)
    stranger, _ = code_for(made)
    assert stranger != nonce
    for other in (stranger, b"", nonce[:-1], nonce + b"A"):
        told = take(made, APP, sealed, other, NOW)
        assert (told.bound, told.proof, told.session) == (False, b"", None)
    assert take(made, APP, sealed, nonce, NOW).bound is True


@pytest.mark.parametrize("host", [OTHER, "bastion.example.test", "", APP.upper()])
def test_on_another_host_it_is_no_code(
    host: str, step: tuple[Callable[..., Any], Callable[..., Any]]
) -> None:
    made, (get, take) = handoff(), step
    nonce, sealed = get(made)
    assert take(made, host, sealed, nonce, NOW) is None
    assert take(made, APP, sealed, nonce, NOW) is not None


def test_it_lives_for_a_minute(step: tuple[Callable[..., Any], Callable[..., Any]]) -> None:
    made, (get, take) = handoff(), step
    nonce, sealed = get(made)
    assert take(made, APP, sealed, nonce, NOW + CODE_SECONDS) is None
    assert take(made, APP, sealed, nonce, NOW + CODE_SECONDS - 1) is not None


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_changed_it_is_no_code(at: int) -> None:
    made = handoff()
    nonce, code = code_for(made)
    changed = bytearray(code)
    changed[at % len(code)] ^= 1
    assert made.redeem(APP, bytes(changed), nonce, NOW) is None


def test_a_request_is_no_code_and_a_code_no_request() -> None:
    made = handoff()
    nonce, request = made.begin(APP, b"/", b"", NOW)
    code = made.make_code(APP, present(made.open_request(APP, request, NOW)), ALICE, NOW)
    assert made.redeem(APP, request, nonce, NOW) is None
    assert made.open_request(APP, code, NOW) is None


@pytest.mark.parametrize("request_", [b"", b"x", b"A" * 100])
def test_what_was_never_asked_for_is_not_granted(request_: bytes) -> None:
    assert handoff().open_request(APP, request_, NOW) is None


def test_a_request_is_of_one_host_and_lives_as_long_as_one_takes_to_sign_in() -> None:
    made = handoff()
    _, request = made.begin(APP, b"/", b"", NOW)
    assert made.open_request(OTHER, request, NOW) is None
    assert made.open_request(APP, request, NOW + SIGN_IN_SECONDS - 1) is not None
    assert made.open_request(APP, request, NOW + SIGN_IN_SECONDS) is None


def test_two_tabs_of_one_browser_share_a_nonce() -> None:
    made = handoff()
    nonce, first = code_for(made, path=b"/1")
    again, second = code_for(made, path=b"/2", nonce=nonce)
    assert again == nonce
    assert [present(made.redeem(APP, code, nonce, NOW)).path for code in (first, second)] == [b"/1", b"/2"]


@pytest.mark.parametrize("nonce", [b"", b"short", b"x" * 23, b"x" * 21 + b";", b"x" * 21 + b"\n"])
def test_a_nonce_that_was_not_ours_is_replaced(nonce: bytes) -> None:
    made, _ = handoff().begin(APP, b"/", nonce, NOW)
    assert made != nonce
    assert len(made) == 22


PATHS = [
    (b"/a", b"/a"),
    (b"//evil.test", b"/"),
    (b"/\\evil.test", b"/"),
    (b"/" + b"x" * (MAX_PATH - 1), b"/" + b"x" * (MAX_PATH - 1)),
    (b"/" + b"x" * MAX_PATH, b"/"),
]


@pytest.mark.parametrize(("asked", "remembered"), PATHS)
def test_it_leads_to_a_path_of_that_host_only(asked: bytes, remembered: bytes) -> None:
    made = handoff()
    nonce, code = code_for(made, path=asked)
    assert present(made.redeem(APP, code, nonce, NOW)).path == remembered
