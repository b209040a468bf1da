"""What is told to a client whose credentials identify no user?  Only what the token says of itself."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bastion.authn.authenticator import Credentials
from bastion.authn.rejection import Rejections

NOW = 1_800_000_000.0
CLUSTER, ISSUER = "https://kubernetes.default.svc", "https://login.test"


def token(**claims: Any) -> str:
    parts = ({"alg": "RS256"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join((*encoded, "c2ln"))


ACCOUNT = "system:serviceaccount:shop:robot"
TOLD = [
    # what is shown, the word, what is told, what is not
    (Credentials(), "NoCredentials", "no credentials", ""),
    (Credentials(note="scheme Basic"), "UnknownCredentialScheme", "Basic", ""),
    (Credentials(note="no bearer token"), "UnknownCredentialScheme", "Bearer", ""),
    (Credentials("opaque"), "TokenNotAccepted", "Unauthorized", ":"),
    (Credentials(token(iss=CLUSTER, aud=["mine"], exp=NOW - 1)), "TokenExpired", "2027-01-15T", ""),
    (Credentials(token(iss=CLUSTER, aud=["vault"], exp=NOW + 9)), "TokenForOtherAudience", "vault", ""),
    (Credentials(token(iss=CLUSTER, aud="mine", exp=NOW + 9)), "TokenNotAccepted", "Unauthorized", ":"),
    (Credentials(token(iss="https://x.test", aud="mine")), "TokenOfUnknownIssuer", "https://x.test", ""),
    (Credentials(token(iss="https://x.test", aud="mine", sub=ACCOUNT)), "TokenNotAccepted", "Unauth", ":"),
    (Credentials(token(iss=ISSUER, aud="theirs")), "TokenNotAccepted", "Unauthorized", ":"),
    (Credentials(token(iss=ISSUER, aud="mine")), "TokenForOtherAudience", "theirs", ""),
]


@pytest.mark.parametrize(("shown", "word", "told", "silent"), TOLD, ids=[row[1] for row in TOLD])
def test_what_is_told(shown: Credentials, word: str, told: str, silent: str) -> None:
    rejected = Rejections(["mine"], lambda: {ISSUER: ("theirs",)}, lambda: NOW).of(shown, "for the log")
    assert (rejected.code, rejected.name, rejected.cause) == (401, word, "for the log")
    assert told in rejected.message
    assert not silent or silent not in rejected.message
    assert "for the log" not in rejected.message
    assert shown.token is None or shown.token not in rejected.message


def test_an_issuer_of_which_a_token_was_accepted_is_known() -> None:
    rejections = Rejections([], dict, lambda: NOW)
    shown = Credentials(token(iss="https://corp.test"))
    assert rejections.of(shown).name == "TokenOfUnknownIssuer"
    rejections.accepted(token(iss="https://corp.test", sub="x"))
    assert rejections.of(shown).name == "TokenNotAccepted"


def test_long_and_hostile_names_are_cut_and_quoted() -> None:
    shown = Credentials(token(iss="a\n" * 500, aud=["x" * 500] * 9))
    message = Rejections([], dict, lambda: NOW).of(shown).message
    assert len(message) < 1000
    assert message.isprintable()
