"""Can a code be used twice, late, elsewhere, or by somebody else?"""

import itertools

import pytest

from bastion.authn.handoff import CODE_SECONDS, MAX_PATH, Handoff
from bastion.authn.sealed import KEY_BYTES, Sealer
from bastion.authn.session import SIGN_IN_SECONDS, Session

NOW = 1_800_000_000.0
APP, OTHER = "web--shop.svc.proxy.example.test", "evil--shop.svc.proxy.example.test"
ALICE = Session("token-of-alice", int(NOW) + 3600)


def handoff(start=0, **more):
    counter = itertools.count(start)
    return Handoff(Sealer(b"k" * KEY_BYTES, lambda n: next(counter).to_bytes(n, "big")), **more)


def code_for(made, host=APP, path=b"/a?b", nonce=b""):
    """(the nonce in the browser, a code)"""
    nonce, request = made.begin(host, path, nonce, NOW)
    return nonce, made.grant(host, request, ALICE, NOW)


def test_a_code_tells_who_and_where_to():
    made = handoff()
    nonce, code = code_for(made)
    redeemed = made.redeem(APP, code, nonce, NOW + 1)
    assert (redeemed.session, redeemed.path, redeemed.bound) == (ALICE, b"/a?b", True)
    assert redeemed.session.token.encode() not in code


def test_it_is_good_once():
    made = handoff()
    nonce, code = code_for(made)
    assert made.redeem(APP, code, nonce, NOW) is not None
    assert made.redeem(APP, code, nonce, NOW) is None


def test_in_another_process_it_is_still_this_browsers_alone():
    nonce, code = code_for(handoff())
    elsewhere = handoff(start=1000)
    assert elsewhere.redeem(APP, code, b"", NOW).bound is False
    assert elsewhere.redeem(APP, code, nonce, NOW).bound is True


def test_somebody_elses_browser_does_not_get_it_and_does_not_use_it_up():
    made = handoff()
    nonce, code = code_for(made)
    stranger, _ = code_for(made)
    assert stranger != nonce
    for other in (stranger, b"", nonce[:-1], nonce + b"A"):
        assert made.redeem(APP, code, other, NOW).bound is False
    assert made.redeem(APP, code, nonce, NOW).bound is True


@pytest.mark.parametrize("host", [OTHER, "bastion.example.test", "", APP.upper()])
def test_on_another_host_it_is_no_code(host):
    made = handoff()
    nonce, code = code_for(made)
    assert made.redeem(host, code, nonce, NOW) is None
    assert made.redeem(APP, code, nonce, NOW) is not None


def test_it_lives_for_a_minute():
    made = handoff()
    nonce, code = code_for(made)
    assert made.redeem(APP, code, nonce, NOW + CODE_SECONDS) is None
    assert made.redeem(APP, code, nonce, NOW + CODE_SECONDS - 1) is not None


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_changed_it_is_no_code(at):
    made = handoff()
    nonce, code = code_for(made)
    changed = bytearray(code)
    changed[at % len(code)] ^= 1
    assert made.redeem(APP, bytes(changed), nonce, NOW) is None


def test_a_request_is_no_code_and_a_code_no_request():
    made = handoff()
    nonce, request = made.begin(APP, b"/", b"", NOW)
    code = made.grant(APP, request, ALICE, NOW)
    assert made.redeem(APP, request, nonce, NOW) is None
    assert made.grant(APP, code, ALICE, NOW) is None


@pytest.mark.parametrize("request_", [b"", b"x", b"A" * 100])
def test_what_was_never_asked_for_is_not_granted(request_):
    assert handoff().grant(APP, request_, ALICE, NOW) is None


def test_a_request_is_of_one_host_and_lives_as_long_as_one_takes_to_sign_in():
    made = handoff()
    _, request = made.begin(APP, b"/", b"", NOW)
    assert made.grant(OTHER, request, ALICE, NOW) is None
    assert made.grant(APP, request, ALICE, NOW + SIGN_IN_SECONDS - 1) is not None
    assert made.grant(APP, request, ALICE, NOW + SIGN_IN_SECONDS) is None


def test_two_tabs_of_one_browser_share_a_nonce():
    made = handoff()
    nonce, first = code_for(made, path=b"/1")
    again, second = code_for(made, path=b"/2", nonce=nonce)
    assert again == nonce
    assert [made.redeem(APP, code, nonce, NOW).path for code in (first, second)] == [b"/1", b"/2"]


@pytest.mark.parametrize("nonce", [b"", b"short", b"x" * 23, b"x" * 21 + b";", b"x" * 21 + b"\n"])
def test_a_nonce_that_was_not_ours_is_replaced(nonce):
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
def test_it_leads_to_a_path_of_that_host_only(asked, remembered):
    made = handoff()
    nonce, code = code_for(made, path=asked)
    assert made.redeem(APP, code, nonce, NOW).path == remembered


def test_what_was_used_is_forgotten_when_it_is_too_old_anyway():
    made = handoff(room=10)
    nonce, _ = made.begin(APP, b"/", b"", NOW)

    def use(now):
        _, request = made.begin(APP, b"/", nonce, now)
        code = made.grant(APP, request, ALICE, now)
        assert made.redeem(APP, code, nonce, now).bound
        return code

    for _ in range(10):
        use(NOW)
    recent = use(NOW + CODE_SECONDS + 1)
    assert len(made) == 1
    assert made.redeem(APP, recent, nonce, NOW + CODE_SECONDS + 2) is None
