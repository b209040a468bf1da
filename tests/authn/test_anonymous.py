"""Who is let in without credentials?"""

from __future__ import annotations

import pytest

from bastion.authn.anonymous import AnonymousAuthenticator
from bastion.authn.authenticator import Credentials
from bastion.kube.user import User
from tests.fakes import SOMEBODY, run


@pytest.mark.parametrize(
    ("credentials", "user"),
    [
        (Credentials(), User("system:anonymous", groups=("system:unauthenticated",))),  # C-AN-1
        (Credentials("bad"), None),
        (Credentials(""), None),
        (Credentials("bad", explicit=True), None),
    ],
    ids=["none", "some", "empty", "explicit"],
)
def test_only_who_shows_no_credentials_is_anonymous(credentials: Credentials, user: User | None) -> None:
    assert run(AnonymousAuthenticator().authenticate(credentials, SOMEBODY)) == user
