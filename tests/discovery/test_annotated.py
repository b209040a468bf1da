"""Are annotations read once, and their mistakes told once?"""

from __future__ import annotations

import logging

import pytest

from bastion.discovery.annotated import MOST_OF_A_NAMESPACE, Mistakes
from bastion.discovery.policy import policy_of
from bastion.kube.annotations import EndpointPolicy
from tests.fakes import catalog_of, put, service

KEY = ("ns", "web")


def test_a_policy_is_read_once_and_again_when_the_service_changes() -> None:
    catalog = catalog_of(services=[service("web", annotations={"bastion.dev/balance": "random"})])
    first = policy_of(catalog, EndpointPolicy, "services", KEY)
    assert (first.balance, policy_of(catalog, EndpointPolicy, "services", KEY)) == ("random", first)
    assert policy_of(catalog, EndpointPolicy, "services", KEY) is first
    put(catalog, "services", service("web", annotations={"bastion.dev/balance": "round-robin"}))
    assert policy_of(catalog, EndpointPolicy, "services", KEY).balance == "round-robin"
    assert policy_of(catalog, EndpointPolicy, "services", ("ns", "none")) == EndpointPolicy()


def test_mistakes_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    catalog = catalog_of()
    catalog.listeners.annotated.append(Mistakes().look)
    bad = {"bastion.dev/balance": "fastest", "bastion.dev/balnce": "random", "example.test/x": "y"}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            put(catalog, "services", service("web", annotations=bad))
            put(catalog, "services", service("web", annotations={"bastion.dev/balance": "random"}))
    assert sorted(caplog.messages) == [
        "Service ns/web: the annotation bastion.dev/balance is ignored: fastest is not one of least-requests,"
        " round-robin, random",
        "Service ns/web: the annotation bastion.dev/balnce is ignored: there is no such annotation",
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for number in range(2 * MOST_OF_A_NAMESPACE):
            put(catalog, "services", service("web", annotations={"bastion.dev/balance": f"x{number}"}))
    assert len(caplog.messages) == MOST_OF_A_NAMESPACE - 2, "a tenant does not fill the log"


@pytest.mark.parametrize("insecure", [False, True])
def test_what_is_not_allowed_is_told_as_well(insecure: bool, caplog: pytest.LogCaptureFixture) -> None:
    catalog = catalog_of()
    catalog.listeners.annotated.append(Mistakes(insecure=insecure).look)
    with caplog.at_level(logging.WARNING):
        put(catalog, "services", service("web", annotations={"bastion.dev/tls-verify": "false"}))
    assert [text.partition(" is ignored: ")[2] for text in caplog.messages] == (
        [] if insecure else ["it needs --allow-insecure-backends"]
    )
