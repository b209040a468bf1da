"""The token that a browser sends as a WebSocket subprotocol (C-WB)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.authn.authenticator import Credentials
from bastion.authn.bearer import MAX_TOKEN
from bastion.authn.subprotocol import request_credentials, subprotocol_token
from bastion.http.fields import Field
from bastion.kube.status import StatusError
from tests.fakes import refused

if TYPE_CHECKING:
    from bastion.http.fields import Field

PREFIX = "base64url.bearer.authorization.k8s.io."
TOKEN = PREFIX + "dG9rZW4"  # "token"


def offers(*values: Any) -> list[Field]:
    """Sec-WebSocket-Protocol fields."""
    raw = [value if isinstance(value, bytes) else value.encode() for value in values]
    return [(b"sec-websocket-protocol", b"Sec-WebSocket-Protocol", value) for value in raw]


def encoded(token: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(token).decode().rstrip("=")


FOUND = [
    pytest.param((f"{TOKEN},dummy",), "token", id="C-WB-1"),
    pytest.param((TOKEN, "dummy, dummy2"), "token", id="C-WB-13"),
    pytest.param((f"dummy,{TOKEN}",), "token", id="the token last"),
    pytest.param(("dummy", TOKEN), "token", id="the token in the second field"),
    pytest.param((f" dummy ,\t{TOKEN}\t",), "token", id="blanks around"),
    pytest.param((f"{TOKEN},",), "token", id="an empty entry is another protocol"),
    pytest.param((f"{PREFIX}fj8-Pz8_,dummy",), "~?>???", id="both letters that only base64url has"),
    pytest.param((encoded(b"x" * MAX_TOKEN) + ",dummy",), "x" * MAX_TOKEN, id="as long as may be"),
]


@pytest.mark.parametrize(("values", "token"), FOUND)
def test_a_token_is_found(values: tuple[str, ...], token: str) -> None:
    assert subprotocol_token(offers(*values)) == token


NONE = [
    pytest.param((), id="C-WB-9 no field"),
    pytest.param(("",), id="C-WB-10 an empty field"),
    pytest.param(("undefined",), id="C-WB-11"),
    pytest.param(("other-protocol",), id="C-WB-7"),
    pytest.param((PREFIX,), id="C-WB-8 C-WB-12 the prefix alone"),
    pytest.param((f"{PREFIX},dummy",), id="the prefix beside another"),
    pytest.param((TOKEN.upper() + ",dummy",), id="the prefix is written small"),
    pytest.param((f"x{TOKEN},dummy",), id="not at the beginning"),
    pytest.param((TOKEN.replace(".k8s.io.", ".k8s.io") + ",dummy",), id="without its last dot"),
]


@pytest.mark.parametrize("values", NONE)
def test_no_token_is_offered(values: tuple[str, ...]) -> None:
    assert subprotocol_token(offers(*values)) is None


REFUSED = [
    pytest.param((TOKEN,), id="nothing beside it"),
    pytest.param((f"{TOKEN},{TOKEN}",), id="twice"),
    pytest.param((TOKEN, TOKEN, "dummy"), id="twice, in two fields"),
    pytest.param((f"{TOKEN},{PREFIX},dummy",), id="also an empty one is one too many"),
    pytest.param((f"{PREFIX},{TOKEN},dummy",), id="also before it"),
    pytest.param((f"{PREFIX},{PREFIX},dummy",), id="also two empty ones"),
    pytest.param((f"{PREFIX}dG9rZW4=,dummy",), id="padded"),
    pytest.param((f"{PREFIX}d,dummy",), id="undecodable: one letter"),
    pytest.param((f"{PREFIX}dG9rZW4d1,dummy",), id="undecodable: one letter too many"),
    pytest.param((f"{PREFIX}dG9r+W4,dummy",), id="plain base64"),
    pytest.param((f"{PREFIX}dG9r/W4,dummy",), id="plain base64, the other letter"),
    pytest.param((f"{PREFIX}dG9r ZW4,dummy",), id="a blank within"),
    pytest.param((f"{PREFIX}dG9rZW4.,dummy",), id="a dot within"),
    pytest.param((encoded(b"\xff\xfe\xfd") + ",dummy",), id="no UTF-8"),
    pytest.param((encoded("tokén".encode()) + ",dummy",), id="no ASCII"),
    pytest.param((encoded(b"to ken") + ",dummy",), id="a blank in the token"),
    pytest.param((encoded(b"token\n") + ",dummy",), id="a line end in the token"),
    pytest.param((encoded(b"to\x00ken") + ",dummy",), id="a NUL in the token"),
    pytest.param((encoded(b"\x7f") + ",dummy",), id="DEL"),
    pytest.param(
        (encoded(b"x" * (MAX_TOKEN + 1)) + ",dummy",), id="longer than a token in Authorization may be"
    ),
]


@pytest.mark.parametrize("values", REFUSED)
def test_a_token_that_is_not_as_it_should_be_is_refused_and_never_anonymous(values: tuple[str, ...]) -> None:
    with refused(401):
        subprotocol_token(offers(*values))


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=100),
    st.integers(0, 3),
)
def test_any_token_comes_back_as_it_went(token: str, place: int) -> None:
    entries = ["a", "b", "c"]
    entries.insert(place, encoded(token.encode()))
    assert subprotocol_token(offers(",".join(entries))) == token
    assert subprotocol_token(offers(*entries)) == token


@given(st.binary(max_size=60))
def test_whatever_follows_the_prefix_nothing_but_a_refusal_comes_of_it(rest: bytes) -> None:
    try:
        token = subprotocol_token(offers(PREFIX.encode() + rest, "dummy"))
    except StatusError as error:
        assert error.code == 401
    else:
        assert token is None or (token.isascii() and token.isprintable() and " " not in token)


# --- beside what the headers say

AUTHORIZED = (b"authorization", b"Authorization", b"Bearer header")
BASIC = (b"authorization", b"Authorization", b"Basic eA==")
EXPLICIT = (b"x-bastion-authorization", b"X-Bastion-Authorization", b"Bearer explicit")

TAKEN = [
    ([], True, Credentials()),
    (offers(f"{TOKEN},dummy"), True, Credentials("token")),
    (offers(f"{TOKEN},dummy"), False, Credentials()),  # C-WB-6: never looked at without a handshake
    ([AUTHORIZED, *offers(f"{TOKEN},dummy")], True, Credentials("header")),
    ([*offers(f"{TOKEN},dummy"), AUTHORIZED], True, Credentials("header")),
    ([AUTHORIZED, *offers(TOKEN)], True, Credentials("header")),  # not consulted, so not refused
    ([BASIC, *offers(f"{TOKEN},dummy")], True, Credentials("token")),
    ([EXPLICIT, *offers(f"{TOKEN},dummy")], True, Credentials("explicit", explicit=True)),
    ([AUTHORIZED, EXPLICIT, *offers(f"{TOKEN},dummy")], True, Credentials("explicit", explicit=True)),
]


@pytest.mark.parametrize(("fields", "websocket", "credentials"), TAKEN)
def test_it_is_consulted_after_the_headers(
    fields: list[Field], websocket: bool, credentials: Credentials
) -> None:
    assert request_credentials(fields, websocket=websocket) == credentials


def test_a_bad_header_is_not_made_good_by_a_subprotocol() -> None:
    with refused(401):
        request_credentials(
            [(b"authorization", b"Authorization", b"Bearer a b"), *offers(f"{TOKEN},dummy")], websocket=True
        )
    with refused(400):
        request_credentials([AUTHORIZED, AUTHORIZED, *offers(f"{TOKEN},dummy")], websocket=True)
