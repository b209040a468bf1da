"""How long does an exchange look for an endpoint that takes a connection?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

import pytest

from bastion.balance.group import Slot
from bastion.balance.outlier import Outliers
from bastion.balance.pool import Balancer
from bastion.kube.endpoint import Endpoint
from bastion.network.errors import DialError
from bastion.proxy.attempts import DIALLING, MAX_ATTEMPTS, MOST_DIALS, PATIENCE, Attempts
from tests.fakes import SOMEBODY
from tests.proxy.routes import Standing, route_to


def everywhere(count: int) -> list[Endpoint]:
    return [Endpoint(f"10.0.{i // 250}.{i % 250}", 80) for i in range(count)]


class Known(Outliers):
    """What is known of endpoints: `well` says whether one is not known to fail."""

    def __init__(self, well: Callable[[Endpoint], bool]) -> None:
        super().__init__()
        self._well = well

    def well(self, endpoint: Hashable, user: Hashable) -> bool:
        assert isinstance(endpoint, Endpoint)
        return self._well(endpoint)


def dials(
    *endpoints: Endpoint,
    silent: bool = False,
    takes: float = 0.0,
    well: Callable[[Endpoint], bool] = lambda endpoint: True,
) -> list[str]:
    """The addresses that are dialled, each in vain after so many seconds."""
    clock = [0.0]

    async def main() -> list[str]:
        balancer, route = Balancer(outliers=Known(well)), route_to(*endpoints)
        slot = Slot(endpoints[0])
        attempts = Attempts(route, Standing(), balancer, SOMEBODY, lambda: clock[0], slot=slot)
        endpoint, tried = next(iter(endpoints), None), []
        while endpoint is not None:
            tried.append(endpoint.address)
            clock[0] += takes
            attempts.failed(endpoint, DialError("no", silent=silent))
            endpoint = next(iter(await attempts.candidates()), None)
        return tried

    return asyncio.run(main())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 100])
def test_while_any_stands_by_it_goes_on_and_none_is_dialled_twice(count: int) -> None:
    assert dials(*everywhere(count)) == [endpoint.address for endpoint in everywhere(count)]


def test_it_is_bounded_by_number() -> None:
    assert len(dials(*everywhere(1000))) == MOST_DIALS


def test_and_by_time() -> None:
    assert len(dials(*everywhere(1000), takes=PATIENCE)) == DIALLING / PATIENCE


def test_those_known_to_fail_are_a_few_attempts_and_no_more() -> None:
    endpoints = everywhere(20)
    assert len(dials(*endpoints, well=lambda endpoint: False)) == MAX_ATTEMPTS
    assert dials(*endpoints, well=lambda endpoint: endpoint is endpoints[-1])[-1] == endpoints[-1].address


V4, V6 = (
    [Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80)],
    [Endpoint("fd00::1", 80), Endpoint("fd00::2", 80)],
)


@pytest.mark.parametrize(
    ("silent", "order"),
    [
        pytest.param(True, ["10.0.0.1", "fd00::1", "10.0.0.2", "fd00::2"], id="nobody-answered"),
        pytest.param(False, ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"], id="refused"),
    ],
)
def test_where_nobody_answers_in_one_family_the_other_is_next(silent: bool, order: list[str]) -> None:
    assert dials(*V4, *V6, silent=silent) == order


def test_the_last_one_is_waited_for_and_those_before_it_a_little() -> None:
    slot = Slot(V4[0])
    attempts = Attempts(route_to(*V4), Standing(), Balancer(), SOMEBODY, lambda: 0.0, slot=slot)
    assert attempts.patience(V4[0]) == PATIENCE
    attempts.failed(V4[0], DialError("no"))
    assert attempts.patience(V4[1]) is None
