"""· The endpoints of one service port, what is under way at each, and which of them is next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import nlargest

from bastion.balance.budget import RetryBudget
from bastion.balance.policies import ALL, POLICIES, Chance, least_requests, rank
from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import Endpoint

MOST_CLIENTS = 4096  # whose endpoints are remembered
HOMES = 8  # of a client, the first first
LEAST_PART = 0.1  # of a new endpoint, in a group with a slow start

CLIENT_IP, COOKIE = "ClientIP", "cookie"  # what `EndpointPolicy.affinity` is once the Service is known


class Slot:
    """One endpoint of a group.

    `active`: requests under way.  `since`: when it came, or came back, while it is given less than its part;
    0 for long ago.  `ill`: its health checks fail.
    """

    __slots__ = ("active", "endpoint", "group", "ill", "since")

    def __init__(self, endpoint: Endpoint, group: Group | None = None) -> None:
        self.endpoint = endpoint
        self.group = group
        self.active = 0
        self.since = 0.0
        self.ill = False


class Group:
    """`simple`: nothing but the policy decides, as long as no endpoint fails.  `in_turn`: then it is the one
    in turn, where nothing is under way there.
    """

    __slots__ = (
        "_homes",
        "_known",
        "_pick",
        "budget",
        "ejections",
        "endpoints",
        "in_turn",
        "key",
        "rules",
        "simple",
        "slots",
        "turn",
    )

    def __init__(self, key: tuple[str, str, str, int]) -> None:
        self.key = key
        self.endpoints: Sequence[Endpoint] = ()
        self.rules = EndpointPolicy()
        self.slots: tuple[Slot, ...] = ()
        self.budget = RetryBudget()
        self.ejections = 0
        self.turn = -1
        self.simple = self.in_turn = True
        self._known: dict[Endpoint, Slot] = {}
        self._homes: dict[str, list[Slot]] = {}
        self._pick: Callable[[Sequence[Slot], int, Chance], Slot] = least_requests

    def sync(self, endpoints: Sequence[Endpoint], rules: EndpointPolicy, now: float) -> None:
        """The service leads there now."""
        before, first = self._known, not self.slots
        # slices may name one address many times
        different = dict.fromkeys(endpoints)
        self._known = {endpoint: before.get(endpoint) or Slot(endpoint, self) for endpoint in different}
        self.slots, self.endpoints, self.rules = tuple(self._known.values()), endpoints, rules
        self._pick = POLICIES[rules.balance]
        self._homes.clear()
        if rules.slow_start and not first:
            for endpoint, slot in self._known.items():
                if endpoint not in before:
                    slot.since = now
        self.judge()

    def judge(self) -> None:
        """Whether anything but the policy decides."""
        self.in_turn = len(self.slots) <= ALL and self.rules.balance != "random"
        self.simple = self.rules.affinity not in (CLIENT_IP, COOKIE) and not any(
            slot.ill or slot.since for slot in self.slots
        )

    def returned(self, slot: Slot, now: float) -> None:
        """It was out, and serves again."""
        if self.rules.slow_start:
            slot.since = now
        self.judge()

    def slot(self, endpoint: Endpoint) -> Slot:
        return self._known.get(endpoint) or Slot(endpoint, self)

    def pick(self, slots: Sequence[Slot], chance: Chance) -> Slot:
        self.turn += 1
        return self._pick(slots, self.turn, chance)

    def fit(self) -> Sequence[Slot]:
        """All but those whose health checks fail; all, where all of them fail."""
        return [slot for slot in self.slots if not slot.ill] or self.slots

    def with_part(self, slots: Sequence[Slot], now: float, chance: Chance) -> Sequence[Slot]:
        """Without those that are new, as often as their part says (an even choice would give them all of
        it).
        """
        if not any(slot.since for slot in slots):
            return slots
        found = [slot for slot in slots if not slot.since or self._has_part(slot, now, chance)]
        return found or slots

    def _has_part(self, slot: Slot, now: float, chance: Chance) -> bool:
        part = (now - slot.since) / self.rules.slow_start if self.rules.slow_start else 1.0
        if part >= 1.0:
            slot.since = 0.0
            self.judge()
        return part >= 1.0 or chance(1000) < 1000 * max(part, LEAST_PART)

    def homes(self, client: str) -> Sequence[Slot]:
        """The endpoints that are this client's, the first first."""
        known = self._homes.get(client)
        if known is None:
            if len(self._homes) >= MOST_CLIENTS:
                self._homes.clear()
            known = self._homes[client] = nlargest(
                HOMES, self.slots, key=lambda slot: rank(client, str(slot.endpoint))
            )
        return known

    def home_of(self, client: str, slots: Iterable[Slot]) -> Slot:
        """The client's first among these; not empty."""
        usable = set(slots)
        found = next((slot for slot in self.homes(client) if slot in usable), None)
        return found or max(usable, key=lambda slot: rank(client, str(slot.endpoint)))
