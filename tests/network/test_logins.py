"""Does a login hold for the connection it came over?"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.network.logins import binds_answer, binds_request

BINDING = [
    b"NTLM TlRMTVNTUAAB",
    b"Negotiate YII=",
    b"negotiate",
    b"Kerberos abc==",
    b"Nego2 x",
    b"CredSSP x",
    b"Unheard-Of x",
    b"NTLM\tx",
]
PER_REQUEST = [b"Basic eDp5", b"Bearer x.y.z", b'Digest username="NTLM", realm="x"', b"bearer NTLM"]


@pytest.mark.parametrize(
    ("value", "binds"), [*((v, True) for v in BINDING), *((v, False) for v in PER_REQUEST)]
)
@pytest.mark.parametrize("name", [b"authorization", b"proxy-authorization"])
def test_of_a_request(name: Any, value: Any, binds: Any) -> None:
    assert binds_request([(b"host", b"Host", b"NTLM"), (name, name, value)]) is binds


@pytest.mark.parametrize(
    ("challenges", "binds"),
    [
        (b"NTLM", True),
        (b"Negotiate", True),
        (b"Basic realm=x,NTLM", True),
        (b'Bearer scope="a,b" , Negotiate', True),
        (b"Digest qop=auth, nonce=x, NEGOTIATE abc==", True),
        (b", ,NTLM", True),
        (b"Basic", False),
        (b'Basic realm="NTLM"', False),
        (b'Digest realm="x", qop="auth,auth-int", nonce = y', False),
        (b'Basic realm="a, Negotiate"', False),
        (b'Basic realm="a \\" , b", NTLM', True),
        (b'Basic realm="never ended, NTLM', True),
        (b'Basic realm="never ended \\', True),
        (b'Basic realm="', True),
        (b"", False),
        (b" , ", False),
    ],
)
def test_of_an_answer(challenges: Any, binds: Any) -> None:
    assert binds_answer(challenges) is binds
