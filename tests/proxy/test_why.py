"""Does `GET /why` walk the decisions that a request would meet, and tell no more than the request would?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.authz.authorizer import Decision
from bastion.discovery.resolver import Resolver
from bastion.kube.errors import error_of
from bastion.kube.errorwords import UNREADABLE_REQUEST
from bastion.kube.requestinfo import parse_proxied
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.network.addresses import DialPolicy
from bastion.proxy.identified import Asker
from bastion.proxy.permit import Permits
from bastion.proxy.router import Router
from bastion.proxy.why import Walk, Why, _target, as_text
from bastion.runtime.turns import USER
from tests import fakes

ALICE = User("alice", groups=("devs",))
CATALOG = fakes.catalog_of(
    pods=[fakes.pod("web", "10.0.0.1")],
    services=[fakes.service("web", {"port": 80}), fakes.service("none", {"port": 80})],
    endpointslices=[fakes.endpoints("web", {"": 8080}, fakes.backed_by("web", "10.0.0.1"))],
)


class Allows:
    def __init__(self, *verbs: str) -> None:
        self._verbs = verbs

    async def authorize(self, user: User, attributes: Any, asker: Any) -> Decision:
        return Decision(attributes.verb in self._verbs)


def walked(target: str, *verbs: str) -> Walk:
    router = Router(Resolver(CATALOG, DialPolicy(), nodes=False), fakes.a_turn)
    why = Why(
        identification=None,  # type: ignore[arg-type]
        impersonator=None,  # type: ignore[arg-type]
        permits=Permits(Allows(*verbs)),
        router=router,
        guard=None,  # type: ignore[arg-type]
        answers=None,  # type: ignore[arg-type]
    )
    return asyncio.run(why.walk(ALICE, _target({"target": target}), Asker(ALICE, (USER, "alice"))))


def test_the_whole_way() -> None:
    walk = walked("services/ns/web", "get")
    assert [step.step for step in walk.steps] == ["user", "rule", "target", "port", "endpoints", "tls"]
    assert all(step.ok for step in walk.steps)
    assert "10.0.0.1" not in as_text(walk)


@pytest.mark.parametrize("target", ["services/ns/none", "services/ns/gone", "services/ns/a:b:c:d"])
def test_who_is_not_allowed_learns_of_the_rule_alone(target: str) -> None:
    walk = walked(target)
    assert (walk.word, walk.hop) == ("MissingRule", "client")
    assert [step.ok for step in walk.steps] == [True, False]
    assert "resourceNames" in walk.rule


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("services/ns/none", "NoSelector"),
        ("services/ns/gone", "ServiceNotFound"),
        ("services/ns/a:b:c:d", "BadTarget"),
        ("nodes/n", "NodeProxyOff"),
    ],
)
def test_it_ends_where_the_request_would(target: str, word: str) -> None:
    walk = walked(target, "get")
    assert (walk.word, walk.steps[-1].ok, walk.rule) == (word, False, "")
    assert f"answer: {word}" in as_text(walk)


def test_a_path_is_a_target_as_well() -> None:
    path = "/api/v1/namespaces/ns/services/web/proxy/"
    assert (
        _target({"target": path})
        == parse_proxied("GET", path.encode())
        == _target({"target": "services/ns/web"})
    )
    with pytest.raises(StatusError) as caught:
        _target({"target": "nonsense"})
    assert caught.value.word is error_of(UNREADABLE_REQUEST, "").word
