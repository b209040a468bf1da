"""· Which address does each Service get?  Pure: the Services' own statuses are the only memory.

A Service keeps what its status says, as long as it may have it; one that asks for an address or a pool gets
that or nothing; the others get the first that is free, those of the highest priority first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

import msgspec

from bastion.node.addresses import IPV4
from bastion.node.balancers.pools import Pool, Range, candidates, number_of
from bastion.node.balancers.services import Key, Wish


class Given(msgspec.Struct, frozen=True):
    """One address of each family that could be had, in the order of the Service's families.

    `pools`: where each is from, empty for one that is in none any more.
    """

    addresses: tuple[str, ...]
    pools: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True):
    why: str


class _No(Exception):
    """Why a family gets none."""


class Allocator:
    def __init__(self, pools: Iterable[Pool]) -> None:
        self.pools = tuple(sorted(pools, key=lambda pool: -pool.priority))
        self._given: dict[Key, Given] = {}
        self._waiting: dict[Key, Wish] = {}
        self._holders: dict[str, dict[Key, Wish]] = {}  # by address
        self._shared: dict[tuple[str, str], dict[str, None]] = {}  # by namespace and sharing key
        self._start: dict[Range, int] = {}  # below that none of the range is free

    def begin(self, wishes: Iterable[Wish]) -> dict[Key, Given | Refused]:
        """All there are: those that have an address first, and the older before the younger."""
        ordered = sorted(wishes, key=lambda wish: (not wish.has, wish.created, wish.key))
        return {wish.key: self.put(wish) for wish in ordered}

    def put(self, wish: Wish) -> Given | Refused:
        """A Service that is new, or has changed."""
        self._release(wish.key)
        self._waiting.pop(wish.key, None)
        found = self._find(wish)
        if isinstance(found, Refused):
            self._waiting[wish.key] = wish
            return found
        self._given[wish.key] = found
        for address in found.addresses:
            self._holders.setdefault(address, {})[wish.key] = wish
            if wish.sharing:
                self._shared.setdefault((wish.key[0], wish.sharing), {})[address] = None
        return found

    def drop(self, key: Key) -> None:
        """It is gone, or needs none any more."""
        self._waiting.pop(key, None)
        self._release(key)

    def given(self, key: Key) -> Given | None:
        return self._given.get(key)

    def waiting(self) -> list[Key]:
        """Those that have none, the oldest first: to be put again when something may have become free."""
        return sorted(self._waiting, key=lambda key: (self._waiting[key].created, key))

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """(pool, its addresses, how many are in use)."""
        for pool in self.pools:
            size = sum(one.last - one.first + 1 for one in pool.ranges)
            yield pool.name, size, sum(address in pool for address in self._holders)

    # --- one Service

    def _find(self, wish: Wish) -> Given | Refused:
        if wish.mistake:
            return Refused(wish.mistake)
        if wish.pool and all(pool.name != wish.pool for pool in self.pools):
            return Refused(f"there is no pool {wish.pool!r}")
        found: dict[str, tuple[str, str]] = {}
        lacking: list[str] = []
        for family in wish.families:
            try:
                found[family] = self._of_family(wish, family)
            except _No as error:
                lacking.append(str(error))
        asked = [family for family in wish.addresses if family not in found]
        if lacking and (wish.required or asked or not found):
            return Refused("; ".join(lacking))
        return Given(tuple(one[0] for one in found.values()), tuple(one[1] for one in found.values()))

    def _of_family(self, wish: Wish, family: str) -> tuple[str, str]:
        """(address, pool).  Raises _No."""
        asked = wish.addresses.get(family)
        if asked is not None:
            return asked, self._asked(wish, asked)
        for address in wish.has:
            if number_of(address)[0] == family and self._may_share(wish, address):
                pool = self._pool_of(wish, address)
                if pool is not None and wish.pool in ("", pool.name):
                    return address, pool.name
                # never taken from a Service that lives, because pools were configured anew
                if wish.held and not any(address in one for one in self.pools) and not wish.pool:
                    return address, ""
        return self._shared_one(wish, family) or self._free_one(wish, family)

    def _asked(self, wish: Wish, address: str) -> str:
        """The pool.  Raises _No."""
        pool = self._pool_of(wish, address)
        if pool is None:
            raise _No(f"{address} is asked for, and is in no pool that this Service may use")
        if wish.pool not in ("", pool.name):
            raise _No(f"{address} is asked for, and is not in the pool {wish.pool!r}")
        if not self._may_share(wish, address):
            holders = self._holders[address]
            # of other namespaces it is told that, and no more
            own = sorted(name for namespace, name in holders if namespace == wish.key[0])
            by = f"Service {own[0]}" if own else "a Service of another namespace"
            raise _No(f"{address} is asked for, and {by} has it")
        return pool.name

    def _shared_one(self, wish: Wish, family: str) -> tuple[str, str] | None:
        if not wish.sharing:
            return None
        for address in self._shared.get((wish.key[0], wish.sharing), ()):
            pool = self._pool_of(wish, address)
            if (
                number_of(address)[0] == family
                and pool is not None
                and wish.pool in ("", pool.name)
                and self._may_share(wish, address)
            ):
                return address, pool.name
        return None

    def _free_one(self, wish: Wish, family: str) -> tuple[str, str]:
        """Raises _No."""
        usable = [
            pool
            for pool in self.pools
            if (pool.name == wish.pool if wish.pool else pool.auto)
            and pool.allows(wish.key[0], wish.labels)
            and any(one.family == family for one in pool.ranges)
        ]
        for pool in usable:
            for number in candidates(pool, family, self._start):
                address = str(IPv4Address(number) if family == IPV4 else IPv6Address(number))
                if address not in self._holders:
                    self._taken(pool, family, number)
                    return address, pool.name
        if not usable:
            raise _No(f"no pool has {family} addresses that this Service may use")
        raise _No(f"every {family} address of {', '.join(pool.name for pool in usable)} is in use")

    def _taken(self, pool: Pool, family: str, number: int) -> None:
        """All below were in use, or are never used."""
        for one in pool.ranges:
            if one.family == family and one.first <= number <= one.last:
                self._start[one] = number + 1

    def _pool_of(self, wish: Wish, address: str) -> Pool | None:
        return next(
            (pool for pool in self.pools if address in pool and pool.allows(wish.key[0], wish.labels)), None
        )

    def _may_share(self, wish: Wish, address: str) -> bool:
        """An address nobody has is free for all."""
        return all(
            wish.sharing != ""
            and other.sharing == wish.sharing
            and other.key[0] == wish.key[0]
            and other.backend == wish.backend
            and not other.ports & wish.ports
            for other in self._holders.get(address, {}).values()
        )

    def _release(self, key: Key) -> None:
        before = self._given.pop(key, None)
        for address in before.addresses if before is not None else ():
            holders = self._holders[address]
            wish = holders.pop(key)
            if holders:
                continue
            del self._holders[address]
            self._shared.get((key[0], wish.sharing), {}).pop(address, None)
            family, number = number_of(address)
            for one, start in self._start.items():
                if one.family == family and one.first <= number < start:
                    self._start[one] = number
