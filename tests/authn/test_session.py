"""What is sealed into a cookie, for whom does it open, and for how long?"""

from __future__ import annotations

import base64
import itertools
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.identity.compact import expiry
from bastion.message.cookies import APPLICATION, RETURN, SESSION, own_pieces, set_pieces
from bastion.signin.sealed import KEY_BYTES, Sealer, key_of
from bastion.signin.session import (
    APPLICATION_SECONDS,
    MAX_SEALED,
    SESSION_SECONDS,
    SIGN_IN_SECONDS,
    Sessions,
    SessionTooLarge,
    is_local,
)
from tests.present import present

NOW = 1_800_000_000.5
HOST = "bastion.example.test"


def sealer(key: bytes = b"k" * KEY_BYTES) -> Sealer:
    counter = itertools.count()
    return Sealer(key, lambda n: next(counter).to_bytes(n, "big"))


def sessions(key: bytes = b"k" * KEY_BYTES) -> Sessions:
    return Sessions(sealer(key))


def jwt(**claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{part}.c2lnbmF0dXJl"


def sealed(
    token: str = "secret-token", kind: bytes = SESSION, host: str = HOST, now: float = NOW
) -> tuple[bytes, int]:
    made = sessions()
    return made.seal(kind, host, made.begin(token, now), now)


def opened(value: bytes, kind: bytes = SESSION, host: str = HOST, now: float = NOW) -> str | None:
    found = sessions().open(kind, host, value, now)
    return None if found is None else found.token


# --- who may open it


def test_what_was_sealed_opens_where_it_was_sealed() -> None:
    value, seconds = sealed()
    assert opened(value) == "secret-token"
    assert seconds == SESSION_SECONDS


def test_the_token_cannot_be_read_from_it_and_two_sealings_differ() -> None:
    made = sessions()
    session = made.begin("secret-token", NOW)
    one, other = (made.seal(SESSION, HOST, session, NOW)[0] for _ in range(2))
    assert one != other
    assert b"secret" not in base64.urlsafe_b64decode(one + b"==")
    assert "secret" not in repr(session)


@pytest.mark.parametrize(
    "host", ["other.example.test", "", "bastion.example.tes", "BASTION.example.test", f"{HOST}:8443"]
)
def test_on_another_host_it_is_nothing(host: str) -> None:
    assert opened(sealed()[0], host=host) is None


@pytest.mark.parametrize(("made_as", "read_as"), [(SESSION, APPLICATION), (APPLICATION, SESSION)])
def test_one_kind_is_not_the_other(made_as: bytes, read_as: bytes) -> None:
    assert opened(sealed(kind=made_as)[0], kind=read_as) is None


def test_a_path_to_return_to_is_no_session() -> None:
    path = sessions().seal_path(HOST, b"/secret-token", NOW)
    assert all(opened(present(path), kind=kind) is None for kind in (SESSION, APPLICATION))


def test_with_another_key_it_is_nothing() -> None:
    assert sessions(b"x" * KEY_BYTES).open(SESSION, HOST, sealed()[0], NOW) is None


def test_every_worker_with_the_key_opens_it() -> None:
    assert sessions(key_of(b"s" * 40)).open(SESSION, HOST, _sealed_with(key_of(b"s" * 40)), NOW) is not None


def _sealed_with(key: bytes) -> bytes:
    made = sessions(key)
    return made.seal(SESSION, HOST, made.begin("t", NOW), NOW)[0]


@given(st.data())
def test_changed_in_one_place_it_is_nothing(data: Any) -> None:
    raw = bytearray(base64.urlsafe_b64decode(sealed()[0] + b"=="))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert opened(base64.urlsafe_b64encode(raw).rstrip(b"=")) is None


@pytest.mark.parametrize("cut", [0, 1, 10, 16, 27, 28, 40, -1])
def test_cut_short_it_is_nothing(cut: int) -> None:
    assert opened(sealed()[0][:cut]) is None


@given(st.binary(max_size=80))
def test_whatever_else_comes_is_nothing(value: bytes) -> None:
    assert opened(value) is None


def test_one_that_is_longer_than_any_of_ours_is_not_even_looked_at() -> None:
    assert opened(b"A" * (MAX_SEALED + 1)) is None


# --- how long


@pytest.mark.parametrize(
    ("kind", "seconds"), [(SESSION, SESSION_SECONDS), (APPLICATION, APPLICATION_SECONDS)]
)
def test_it_ends_on_the_second(kind: bytes, seconds: int) -> None:
    value, _ = sealed(kind=kind)
    assert opened(value, kind, now=NOW + seconds - 1) == "secret-token"
    assert opened(value, kind, now=NOW + seconds) is None


@pytest.mark.parametrize("kind", [SESSION, APPLICATION])
def test_it_does_not_outlive_its_token(kind: bytes) -> None:
    value, seconds = sealed(jwt(exp=int(NOW) + 600), kind)
    assert seconds == 600
    assert opened(value, kind, now=NOW + 599) is not None
    assert opened(value, kind, now=NOW + 600) is None


def test_an_applications_ends_with_the_session_it_came_from() -> None:
    made = sessions()
    session = made.begin("t", NOW)
    late = NOW + SESSION_SECONDS - 60
    value, seconds = made.seal(APPLICATION, HOST, session, late)
    assert seconds == 60
    assert made.open(APPLICATION, HOST, value, late + 61) is None


@pytest.mark.parametrize("exp", [0, -5, 1, int(NOW), -1e300])
def test_a_token_that_is_over_gives_none_that_lives(exp: Any) -> None:
    value, seconds = sealed(jwt(exp=exp))
    assert seconds <= 0
    assert opened(value) is None


EXPIRIES = [
    (jwt(exp=1_900_000_000), 1_900_000_000.0),
    (jwt(exp=1_900_000_000.7), 1_900_000_000.7),
    (jwt(iss="x"), None),
    (jwt(exp=None), None),
    (jwt(exp="1900000000"), None),
    (jwt(exp=True), None),
    (jwt(exp=[1]), None),
    (jwt(exp=10**400), None),
    (jwt(exp=1, deep=eval("[" * 60 + "]" * 60)), 1.0),
    ("opaque", None),
    ("a.b", None),
    ("a.b.c.d", None),
    ("a..c", None),
    ("a.%%%.c", None),
    ("a.é.c", None),
    (f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.c", None),
    (f"a.{base64.urlsafe_b64encode(b'{').decode()}.c", None),
    (f"a.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.c", None),
    (f"a.{base64.urlsafe_b64encode(bytes([255])).decode()}.c", None),
]


@pytest.mark.parametrize(("token", "end"), EXPIRIES)
def test_the_expiry_that_a_token_states(token: str, end: float | None) -> None:
    assert expiry(token) == end


def test_an_expiry_far_away_does_not_make_it_longer() -> None:
    assert sealed(jwt(exp=10**12))[1] == SESSION_SECONDS


# --- how much


def test_a_token_too_long_for_a_cookie_is_said_to_be() -> None:
    made = sessions()
    with pytest.raises(SessionTooLarge):
        made.seal(SESSION, HOST, made.begin(incompressible(7200), NOW), NOW)


def test_the_longest_session_is_one_that_browsers_keep() -> None:
    made = sessions()
    longest = max(n for n in range(4000, 7200, 20) if _fits(made, n))
    value, _ = made.seal(SESSION, HOST, made.begin(incompressible(longest), NOW), NOW)
    lines = set_pieces([], SESSION, value, 60)
    assert len(lines) == 2
    assert all(len(line) <= 4096 for line in lines)
    assert sum(len(line.partition(b";")[0]) + 2 for line in lines) <= 8192 - 900
    assert longest > 5000


def test_the_pieces_of_a_session_are_one_or_nothing() -> None:
    value = b"v" * 5000
    pairs = [line.partition(b";")[0] for line in set_pieces([], SESSION, value, 60)]

    def read(*some: bytes) -> bytes:
        return own_pieces([(b"cookie", b"Cookie", b"; ".join(some))], SESSION)

    assert read(*pairs) == read(*reversed(pairs)) == value
    for few in ([pairs[0]], [pairs[1]], [pairs[0], pairs[1], pairs[1]]):
        assert read(*few) == b""
    assert read(SESSION + b"=9.x") == read(SESSION + b"=1.x") == read(SESSION + b"=.x") == b""


def test_a_smaller_session_leaves_no_piece_of_a_larger_one() -> None:
    pairs = b"; ".join(line.partition(b";")[0] for line in set_pieces([], SESSION, b"v" * 5000, 60))
    came = [(b"cookie", b"Cookie", pairs)]
    assert [line.partition(b";")[0] for line in set_pieces(came, SESSION, b"small", 60)] == [
        SESSION + b"=small",
        SESSION + b".1=",
    ]
    assert all(b"Max-Age=0" in line for line in set_pieces(came, SESSION, b"", 0))


def test_what_another_version_sealed_is_no_session() -> None:
    made = sealer()
    old = made.seal(SESSION.decode(), HOST, b"\x92\xa1t\xce\x7f\xff\xff\xff", 2**31)
    assert Sessions(made).open(SESSION, HOST, old, NOW) is None


def _fits(made: Sessions, length: int) -> bool:
    try:
        made.seal(SESSION, HOST, made.begin(incompressible(length), NOW), NOW)
    except SessionTooLarge:
        return False
    return True


def incompressible(length: int) -> str:
    return "".join(chr(33 + byte % 94) for byte in random.Random(1).randbytes(length))


# --- keys


def test_a_key_is_made_of_whatever_a_file_holds() -> None:
    assert len(key_of(b"x" * 32)) == KEY_BYTES
    assert key_of(b"x" * 32) != key_of(b"x" * 33)


@pytest.mark.parametrize("secret", [b"", b"hunter2", b"x" * 31])
def test_too_little_to_be_a_secret_is_refused_and_not_quoted(secret: bytes) -> None:
    with pytest.raises(ValueError, match="less than 32 bytes") as caught:
        key_of(secret)
    assert not secret or secret.decode() not in str(caught.value)


# --- where to go afterwards

LOCAL = [
    b"/",
    b"/a",
    b"/a//b",
    b"/a\\b",
    b"/a?b=//c",
    b"/%09/evil",
    b"/.//evil.test",
    b"/@evil.test",
    b"/a:b",
    b"/" + b"x" * 2000,
]
ELSEWHERE = [
    b"",
    b"a",
    b"//evil.test",
    b"///evil.test",
    b"/\\evil.test",
    b"\\evil.test",
    b"\\\\evil.test",
    b"https://evil.test",
    b"https:evil.test",
    b"javascript:alert(1)",
    b" /a",
    b"/\t/evil.test",
    b"/\n/evil.test",
    b"/a\r\nSet-Cookie: x",
    b"/a\x00",
    "/é".encode(),
    b"?a",
    b"@evil.test",
]


@pytest.mark.parametrize("path", LOCAL)
def test_a_path_of_this_host_is_remembered(path: bytes) -> None:
    assert is_local(path)
    assert sessions().open_path(HOST, present(sessions().seal_path(HOST, path, NOW)), NOW) == path


@pytest.mark.parametrize("path", ELSEWHERE)
def test_what_might_lead_elsewhere_is_not(path: bytes) -> None:
    assert not is_local(path)
    assert sessions().seal_path(HOST, path, NOW) is None


@pytest.mark.parametrize("path", [b"//evil.test", b"https://evil.test/"])
def test_nor_is_it_believed_where_it_was_sealed_all_the_same(path: bytes) -> None:
    value = sealer().seal(RETURN.decode(), HOST, path, int(NOW) + 60)
    assert sessions().open_path(HOST, value, NOW) is None


def test_a_path_is_remembered_for_a_quarter_of_an_hour_on_its_host() -> None:
    value = sessions().seal_path(HOST, b"/a", NOW)
    assert sessions().open_path(HOST, present(value), NOW + SIGN_IN_SECONDS - 1) == b"/a"
    assert sessions().open_path(HOST, present(value), NOW + SIGN_IN_SECONDS) is None
    assert sessions().open_path("other.test", present(value), NOW) is None
    assert sessions().open_path(HOST, b"", NOW) is None


def test_a_path_too_long_for_a_cookie_is_not_remembered() -> None:
    assert sessions().seal_path(HOST, b"/" + b"x" * 3000, NOW) is None
