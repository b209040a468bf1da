"""· The balancer: which endpoint is next?  Used by requests and upgrades alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from heapq import nlargest
from itertools import islice
from typing import NamedTuple, Protocol

from bastion.balance.group import CLIENT_IP, COOKIE, Group, Slot
from bastion.balance.outlier import Outliers
from bastion.balance.policies import Chance
from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import Endpoint

MOST_GROUPS = 65536
COMPARED = 64  # endpoints that are all looked at where some fail
TRIES = 8  # choices, where there are more
MOST_TOLD = 512  # groups in the metrics


class Balanced(Protocol):
    """What is balanced: `key` begins with its resource; requests with the same key share what is known."""

    @property
    def key(self) -> tuple[str, str, str, int]: ...

    @property
    def endpoints(self) -> Sequence[Endpoint]: ...

    @property
    def policy(self) -> EndpointPolicy: ...


def _zero(n: int) -> int:
    return 0


class GroupStatistics(NamedTuple):
    """Of one service port: counts since the start, and its endpoints as they are now."""

    key: tuple[str, str, str, int]
    requests: int
    retries: int
    ejections: int
    serving: int
    ejected: int
    ill: int
    endpoint: Endpoint  # one of them


class Balancer:
    """`revive(endpoint, user)`: dials an endpoint that is out, where no request may be its probe.

    `token_of` names an endpoint in a cookie.  Every slot that was chosen is left again (`leave`).
    """

    def __init__(
        self,
        chance: Chance = _zero,
        outliers: Outliers | None = None,
        token_of: Callable[[Endpoint], bytes] = lambda endpoint: b"",
    ) -> None:
        self.outliers = outliers if outliers is not None else Outliers()
        self.revive: Callable[[Endpoint, Hashable], None] = lambda endpoint, user: None
        self._chance = chance
        self.token_of = token_of
        self.groups: dict[Hashable, Group] = {}

    def choose(
        self,
        of: Balanced,
        asker: Hashable,
        now: float,
        *,
        client: str = "",
        resendable: bool = False,
        wish: bytes = b"",
    ) -> Slot:
        """`client`: the address it comes from.  `resendable`: this request may be a probe.  `wish`: the
        endpoint that a cookie names.
        """
        if of.key[0] != "services":
            return Slot(of.endpoints[0])
        group = self.groups.get(of.key)
        if group is None or group.endpoints is not of.endpoints or group.rules is not of.policy:
            group = self._synced(of, now)
        group.budget.request(now)
        if group.simple and not self.outliers.tracked:
            slots = group.slots
            slot = slots[(group.turn + 1) % len(slots)]
            if slot.active or not group.in_turn:
                slot = group.pick(slots, self._chance)
            else:
                group.turn += 1
        elif len(group.slots) <= COMPARED:
            slot = self._compared(group, asker, now, client, resendable=resendable, wish=wish)
        else:
            slot = self._sampled(group, asker, now, client, resendable=resendable, wish=wish)
        slot.active += 1
        return slot

    def another(
        self, of: Balanced, candidates: Iterable[Endpoint], asker: Hashable, client: str = ""
    ) -> Slot | None:
        """Of those that were not tried yet: one that is well, else the first; None where there is none."""
        group = self.groups.get(of.key)
        if group is None:
            first = next(iter(candidates), None)
            return Slot(first) if first is not None else None
        some = [group.slot(endpoint) for endpoint in islice(candidates, COMPARED)]
        if not some:
            return None
        well = [slot for slot in some if not slot.ill and self.outliers.well(slot.endpoint, asker)]
        if group.rules.affinity == CLIENT_IP:
            slot = group.home_of(client, well or some)
        else:
            slot = group.pick(well, self._chance) if well else some[0]
        slot.active += 1
        return slot

    def leave(self, slot: Slot) -> None:
        slot.active -= 1

    def may_retry(self, slot: Slot, now: float) -> bool:
        """True spends from the service's budget."""
        return slot.group is None or slot.group.budget.may_retry(now)

    def statistics(self) -> list[GroupStatistics]:
        """Of those that were used last."""
        latest = nlargest(MOST_TOLD, self.groups.values(), key=lambda group: group.budget.used_at)
        return [self._statistics_of(group) for group in latest]

    def _statistics_of(self, group: Group) -> GroupStatistics:
        ill = sum(slot.ill for slot in group.slots)
        out = sum(self.outliers.out_for_all(slot.endpoint) for slot in group.slots if not slot.ill)
        budget = group.budget
        return GroupStatistics(
            key=group.key,
            requests=budget.requests,
            retries=budget.retries,
            ejections=group.ejections,
            serving=len(group.slots) - ill - out,
            ejected=out,
            ill=ill,
            endpoint=group.endpoints[0],
        )

    # --- what came of it

    def answered(self, slot: Slot, asker: Hashable, now: float) -> None:
        if self.outliers.tracked and self.outliers.answered(slot.endpoint, asker) and slot.group is not None:
            slot.group.returned(slot, now)

    def failed(self, slot: Slot, asker: Hashable, now: float, *, dialled: bool) -> None:
        ejected = self.outliers.failed(slot.endpoint, asker, now, dialled=dialled)
        if ejected and slot.group is not None:
            slot.group.ejections += 1

    # --- the choice, where more than the policy decides

    def _synced(self, of: Balanced, now: float) -> Group:
        group = self.groups.get(of.key)
        if group is None:
            if len(self.groups) >= MOST_GROUPS:
                self.groups.clear()  # only their turns and counts are lost
            group = self.groups[of.key] = Group(of.key)
        group.sync(of.endpoints, of.policy, now)
        return group

    def _compared(
        self, group: Group, asker: Hashable, now: float, client: str, *, resendable: bool, wish: bytes
    ) -> Slot:
        fit = group.fit()
        usable: Sequence[Slot] = [slot for slot in fit if self.outliers.well(slot.endpoint, asker)]
        out = [slot for slot in fit if slot not in usable] if len(usable) < len(fit) else []
        probe = self._probe(out, asker, now, resendable=resendable)
        if not usable:
            usable = fit
        elif len(out) > (most := (len(fit) + 1) // 2):
            since = self.outliers.ejected_at
            usable = [*usable, *sorted(out, key=lambda slot: since(slot.endpoint, asker))[most:]]
        if probe is not None and group.rules.affinity == CLIENT_IP:
            usable = [*usable, probe]  # those whose endpoint it is try it
        elif probe is not None and not wish:
            self.outliers.probe(probe.endpoint, asker, now)
            return probe
        slot = self._preferred(group, usable, now, client, wish)
        if slot is probe:
            self.outliers.probe(slot.endpoint, asker, now)
        return slot

    def _probe(self, out: Iterable[Slot], asker: Hashable, now: float, *, resendable: bool) -> Slot | None:
        """The endpoint that this request is to try again; one that none tries is dialled."""
        for slot in out:
            overdue = now - self.outliers.due_at(slot.endpoint, asker)
            if overdue >= 0 and resendable:
                return slot
            if overdue >= 1.0:
                self.outliers.probe(slot.endpoint, asker, now)
                self.revive(slot.endpoint, asker)
        return None

    def _preferred(self, group: Group, usable: Sequence[Slot], now: float, client: str, wish: bytes) -> Slot:
        affinity = group.rules.affinity
        if affinity == CLIENT_IP:
            return group.home_of(client, usable)
        if affinity == COOKIE and wish:
            named = next((slot for slot in usable if self.token_of(slot.endpoint) == wish), None)
            if named is not None:
                return named
        return group.pick(group.with_part(usable, now, self._chance), self._chance)

    def _sampled(
        self, group: Group, asker: Hashable, now: float, client: str, *, resendable: bool, wish: bytes
    ) -> Slot:
        """Of many endpoints: a few choices until one is well."""
        if group.rules.affinity == CLIENT_IP:
            homes = group.homes(client)
            return next((slot for slot in homes if self._is_fit(slot, asker)), homes[0])
        if group.rules.affinity == COOKIE and wish:
            for slot in group.slots:
                if self.token_of(slot.endpoint) == wish and self._is_fit(slot, asker):
                    return slot
        for _ in range(TRIES):
            slot = group.pick(group.slots, self._chance)
            if self._is_fit(slot, asker) and group.with_part((slot, slot), now, self._chance):
                break
            if self._probe((slot,), asker, now, resendable=resendable) is not None:
                self.outliers.probe(slot.endpoint, asker, now)
                break
        return slot

    def _is_fit(self, slot: Slot, asker: Hashable) -> bool:
        return not slot.ill and self.outliers.well(slot.endpoint, asker)
