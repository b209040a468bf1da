"""Who asks, for what, and may they: the decision without a delivery."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.authz.impersonation import ImpersonationAuthorizer
from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.message.upgrade import UpgradeRequest
from bastion.observe.record import Record
from bastion.proxy.admission import Admission, Admitted, SignInHelps
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins
from bastion.settings.sections import Limits
from tests.fakes import Decides, Knows, refused
from tests.proxy.exchanges import Exchange, fields_of

ALICE = User("alice", "1", ("devs",))
AS_ALICE = "Authorization: Bearer alice"
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
GET = Attributes("get", "", "v1", "ns", "pods", "proxy", "web")
CREATE = Attributes("create", "", "v1", "ns", "pods", "proxy", "web")
HERE = "192.0.2.1"


def admit(*lines: str, allowed: bool = True, limits: Limits = Limits(), **request: Any) -> Admitted:  # noqa: B008
    async def main() -> Admitted:
        authorizer = Decides(lambda user, attributes: allowed)
        guard = Guard(Knows({"alice": ALICE}), lambda credentials: False, limits, lambda request: False)
        admission = Admission(
            credentials=CredentialReader(Origins(()), None, None, lambda: 0.0),
            guard=guard,
            impersonator=ImpersonationAuthorizer(authorizer),
            authorizer=authorizer,
            upgrade_requires_create=frozenset(("pods",)),
        )
        exchange = Exchange(
            target=b"/api/v1/namespaces/ns/pods/web/proxy/", fields=fields_of(*lines), **request
        )
        return await admission.admit(exchange, HERE, Record("GET", b"/", HERE, "id"))

    return asyncio.run(main())


def test_the_questions_are_those_that_were_answered_with_yes() -> None:
    admitted = admit(AS_ALICE)
    assert (admitted.user, admitted.acting_as, admitted.asker) == (ALICE, ALICE, ("user", "alice"))
    assert (admitted.questions, admitted.upgrade) == ([(ALICE, GET)], None)


def test_an_upgrade_may_need_create_as_well() -> None:
    admitted = admit(AS_ALICE, *UPGRADE, upgradable=True)
    assert admitted.upgrade == UpgradeRequest(b"websocket")
    assert admitted.questions == [(ALICE, GET), (ALICE, CREATE)]


def test_impersonation_is_among_the_questions_and_the_share_is_the_impersonators() -> None:
    admitted = admit(AS_ALICE, "Impersonate-User: bob")
    assert (admitted.user, admitted.acting_as.name, admitted.asker) == (ALICE, "bob", ("user", "alice"))
    assert [(user.name, attributes.verb) for user, attributes in admitted.questions] == [
        ("alice", "impersonate-on:user-info:get"),
        ("alice", "impersonate:user-info"),
        ("bob", "get"),
    ]


@pytest.mark.parametrize("lines", [(), ("Authorization: Basic x",)])
def test_without_credentials_signing_in_may_help(lines: tuple[str, ...]) -> None:
    with pytest.raises(SignInHelps) as caught:
        admit(*lines)
    assert caught.value.code == 401


def test_a_token_that_nobody_knows_is_a_401_for_a_browser_as_well() -> None:
    with refused(401):
        admit("Authorization: Bearer guessed", "Accept: text/html")


def test_a_denied_question_is_a_403() -> None:
    with pytest.raises(StatusError) as caught:
        admit(AS_ALICE, allowed=False)
    assert caught.value.code == 403
