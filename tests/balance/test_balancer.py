"""Which endpoint of a service gets a request, while some fail, are new, or are somebody's?"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, NamedTuple

import pytest

from bastion.balance.outlier import FAILURES, PAUSE
from bastion.balance.pool import COMPARED, MOST_GROUPS, Balancer
from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import Endpoint

ALICE = "alice"


def places(count: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"10.0.{number // 250}.{number % 250}", 80) for number in range(count))


class Service(NamedTuple):
    endpoints: tuple[Endpoint, ...] = places(3)
    policy: EndpointPolicy = EndpointPolicy()
    key: tuple[str, str, str, int] = ("services", "ns", "web", 80)


def chosen(balancer: Balancer, of: Service, times: int = 1, now: float = 0.0, **more: Any) -> list[int]:
    """The endpoints by number, each left at once."""
    found = []
    for _ in range(times):
        slot = balancer.choose(of, ALICE, now, **more)
        balancer.leave(slot)
        found.append(of.endpoints.index(slot.endpoint))
    return found


def eject(balancer: Balancer, of: Service, *numbers: int, now: float = 0.0) -> None:
    for number in numbers:
        slot = balancer.another(of, (of.endpoints[number],), ALICE)
        assert slot is not None
        balancer.leave(slot)
        for _ in range(FAILURES):
            balancer.failed(slot, ALICE, now, dialled=True)


def a_balancer(of: Service) -> Balancer:
    chance = random.Random(69)
    balancer = Balancer(chance.randrange)
    chosen(balancer, of)
    return balancer


def test_requests_under_way_count_until_they_are_over() -> None:
    service, balancer = Service(), Balancer()
    slots = [balancer.choose(service, ALICE, 0.0) for _ in range(3)]
    assert {slot.endpoint for slot in slots} == set(service.endpoints)
    balancer.leave(slots[1])
    assert balancer.choose(service, ALICE, 0.0) is slots[1]


def test_what_is_under_way_is_known_when_the_endpoints_change() -> None:
    service, balancer = Service(places(2)), Balancer()
    balancer.choose(service, ALICE, 0.0)
    grown = service._replace(endpoints=places(3))
    assert chosen(balancer, grown, 4).count(0) == 0


@pytest.mark.parametrize("count", [3, COMPARED + 10])
def test_an_endpoint_that_fails_gets_nothing_and_then_one_probe_that_may_be_sent_again(count: int) -> None:
    service = Service(places(count))
    balancer = a_balancer(service)
    eject(balancer, service, 0)
    assert 0 not in chosen(balancer, service, 400, now=PAUSE - 0.1, resendable=True)
    assert 0 not in chosen(balancer, service, 400, now=PAUSE + 0.5)
    later = chosen(balancer, service, 4000, now=PAUSE + 0.5, resendable=True)
    assert later.count(0) == 1


def test_where_no_request_may_be_the_probe_it_is_dialled_once() -> None:
    service = Service()
    balancer, dialled = a_balancer(service), []
    balancer.revive = lambda endpoint, user: dialled.append((endpoint, user))
    eject(balancer, service, 1)
    for tenth in range(40):
        chosen(balancer, service, 3, now=tenth / 10)
    assert dialled == [(service.endpoints[1], ALICE)]


@pytest.mark.parametrize(
    ("count", "failing", "used"),
    [
        (3, [0], {1, 2}),
        (3, [0, 1], {2}),
        (3, [0, 1, 2], {0, 1, 2}),
        (4, [0, 1, 2], {2, 3}),
        (2, [0, 1], {0, 1}),
        (1, [0], {0}),
    ],
)
def test_half_are_out_at_most_and_where_all_fail_all_are_tried(
    count: int, failing: list[int], used: set[int]
) -> None:
    service = Service(places(count))
    balancer = a_balancer(service)
    for at, number in enumerate(failing):
        eject(balancer, service, number, now=at / 100)
    assert set(chosen(balancer, service, 40, now=1.0)) == used


def test_a_client_keeps_its_endpoint_and_moves_to_one_other_while_that_fails() -> None:
    service = Service(places(5), EndpointPolicy(affinity="ClientIP"))
    balancer, other = a_balancer(service), a_balancer(service)
    homes = {client: chosen(balancer, service, client=client)[0] for client in map(str, range(40))}
    assert len(set(homes.values())) == 5
    for client, home in homes.items():
        assert set(chosen(balancer, service, 3, client=client)) == {home}
        assert chosen(other, service, client=client) == [home], "another replica says the same"
    eject(balancer, service, 2)
    moved = {client: chosen(balancer, service, 3, client=client, now=1.0) for client in homes}
    assert all(len(set(places)) == 1 for places in moved.values())
    assert {client for client in homes if moved[client][0] != homes[client]} == {
        client for client, home in homes.items() if home == 2
    }
    back = chosen(balancer, service, client=next(c for c in homes if homes[c] == 2), now=3, resendable=True)
    assert back == [2], "its own client is its probe"


def test_a_cookie_names_the_endpoint_as_long_as_that_is_well() -> None:
    service = Service(places(3), EndpointPolicy(affinity="cookie"))
    balancer = Balancer(token_of=lambda endpoint: endpoint.address.encode())
    assert set(chosen(balancer, service, 9, wish=b"10.0.0.1")) == {1}
    assert set(chosen(balancer, service, 9, wish=b"of no endpoint")) == {0, 1, 2}
    eject(balancer, service, 1)
    assert set(chosen(balancer, service, 9, wish=b"10.0.0.1")) == {0, 2}


def parts(balancer: Balancer, of: Service, now: float) -> list[float]:
    counts = Counter(chosen(balancer, of, 3000, now=now))
    return [round(counts[number] / 3000, 2) for number in range(len(of.endpoints))]


@pytest.mark.parametrize("balance", ["least-requests", "round-robin", "random"])
def test_a_new_endpoint_begins_with_a_tenth_of_its_part(balance: str) -> None:
    policy = EndpointPolicy(balance=balance, slow_start=10.0)
    before, after = Service(places(2), policy), Service(places(3), policy)
    balancer = a_balancer(before)
    assert parts(balancer, before, 0.0)[0] == pytest.approx(0.5, abs=0.04), "at the start none is new"
    chosen(balancer, after, now=100.0)
    assert parts(balancer, after, 100.0)[2] == pytest.approx(0.033, abs=0.02)
    assert parts(balancer, after, 105.0)[2] == pytest.approx(0.166, abs=0.04)
    assert parts(balancer, after, 110.0)[2] == pytest.approx(0.333, abs=0.04)


def test_one_that_returns_begins_anew_as_well() -> None:
    service = Service(places(3), EndpointPolicy(slow_start=10.0))
    balancer = a_balancer(service)
    eject(balancer, service, 0)
    slot = balancer.groups[service.key].slots[0]
    balancer.answered(slot, ALICE, 50.0)
    assert parts(balancer, service, 50.0)[0] == pytest.approx(0.033, abs=0.02)
    assert parts(balancer, service, 60.0)[0] == pytest.approx(0.333, abs=0.04)


def test_the_ill_get_nothing_unless_all_are() -> None:
    service = Service()
    balancer = a_balancer(service)
    group = balancer.groups[service.key]
    for number, used in enumerate([{1, 2}, {2}, {0, 1, 2}]):
        group.slots[number].ill = True
        group.judge()
        assert set(chosen(balancer, service, 9)) == used


def test_another_is_one_that_is_well_and_has_least_to_do() -> None:
    service = Service(places(4))
    balancer = a_balancer(service)
    eject(balancer, service, 0)
    busy = balancer.another(service, service.endpoints[1:2], ALICE)
    found = balancer.another(service, service.endpoints[:3], ALICE)
    assert busy is not None
    assert found is not None
    assert found.endpoint == service.endpoints[2]
    last = balancer.another(service, service.endpoints[:1], ALICE)
    assert last is not None
    assert balancer.another(service, (), ALICE) is None


def test_what_is_known_is_bounded() -> None:
    balancer, service = Balancer(), Service(places(1))
    for port in range(MOST_GROUPS + 1):
        balancer.choose(service._replace(key=("services", "ns", "web", port)), ALICE, 0.0)
    assert len(balancer.groups) == 1
    chosen(balancer, service._replace(key=("pods", "ns", "web", 1)))
    assert len(balancer.groups) == 1, "a pod has no choice"
