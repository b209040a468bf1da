"""· Limits: counters and token buckets; pure: time is an argument.

A limit may be replaced while in use: nothing is ended when it is above a new one, but nothing is added.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

MAX_KEYS = 65536


class Concurrency:
    """At most `most` at once per key; 0 for no limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._counts: dict[Hashable, int] = {}

    def enter(self, key: Hashable) -> bool:
        """False where the key is at its limit.  Every True is followed by one `leave`."""
        count = self._counts.get(key, 0)
        if self.most and count >= self.most:
            return False
        self._counts[key] = count + 1
        return True

    def is_full(self, key: Hashable) -> bool:
        return self.most > 0 and self._counts.get(key, 0) >= self.most

    def of(self, key: Hashable) -> int:
        return self._counts.get(key, 0)

    @property
    def largest(self) -> int:
        """Of all keys."""
        return max(self._counts.values(), default=0)

    def leave(self, key: Hashable) -> None:
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]

    def __len__(self) -> int:
        return len(self._counts)


class Shares:
    """Users share at most `most` places at each target; 0 for no limit.

    Where all are taken, a user with fewer than an even share (places divided by users) still gets one.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: dict[Hashable, dict[Hashable, int]] = {}  # target -> user -> places

    def enter(self, target: Hashable, user: Hashable) -> bool:
        """False where the target is full and this user has a share.

        Every True is followed by one `leave`.
        """
        users = self._taken.get(target)
        if users is None:  # the usual case, and every request's
            self._taken[target] = {user: 1}
            return True
        own = users.get(user, 0)
        if (
            self.most
            and sum(users.values()) >= self.most
            and own >= max(1, self.most // (len(users) + (not own)))
        ):
            return False
        users[user] = own + 1
        return True

    def take(self, target: Hashable, user: Hashable) -> None:
        """Takes a place even where the target is full."""
        users = self._taken.setdefault(target, {})
        users[user] = users.get(user, 0) + 1

    def leave(self, target: Hashable, user: Hashable) -> None:
        users = self._taken[target]
        if users[user] > 1:
            users[user] -= 1
        elif len(users) > 1:
            del users[user]
        else:
            del self._taken[target]

    def __len__(self) -> int:
        """Targets at which a place is taken."""
        return len(self._taken)


class RetryAllowance:
    """Allows one retry of an item that came before.  The newest `most` items are remembered."""

    def __init__(self, most: int = MAX_KEYS) -> None:
        self._most = most
        # items that came before -> whether the retry was used
        self._had: OrderedDict[Hashable, bool] = OrderedDict()

    def due(self, item: Hashable) -> bool:
        """Whether the item came before and its retry is unused; from now on it came before."""
        if item in self._had:
            return not self._had[item]
        if len(self._had) >= self._most:
            self._had.popitem(last=False)
        self._had[item] = False
        return False

    def use(self, item: Hashable) -> None:
        self._had[item] = True

    def forget(self, item: Hashable) -> None:
        self._had.pop(item, None)

    def __len__(self) -> int:
        return len(self._had)


class Rate:
    """A token bucket per key: `per_second` on average (0 for no limit), `burst` at once."""

    def __init__(self, per_second: float, burst: float) -> None:
        self.per_second = per_second
        self.burst = burst
        # key -> (tokens taken, as of), the latest last
        self._spent: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def exhausted(self, key: Hashable, now: float) -> bool:
        return key in self._spent and self.per_second > 0 and self._left(key, now) < 1

    def spend(self, key: Hashable, now: float) -> None:
        left = self._left(key, now)
        self._spent.pop(key, None)
        if len(self._spent) >= MAX_KEYS:
            self._spent.popitem(last=False)  # the longest since it spent: most of its tokens are back
        self._spent[key] = (self.burst - left + 1, now)

    def give_back(self, key: Hashable, now: float) -> None:
        """Returns a token that was spent but not used."""
        self._spent[key] = (self.burst - self._left(key, now) - 1, now)

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until it is no longer exhausted."""
        return max(0.0, (1 - self._left(key, now)) / self.per_second) if self.per_second > 0 else 0.0

    def _left(self, key: Hashable, now: float) -> float:
        spent, since = self._spent.get(key, (0.0, now))
        return min(self.burst, self.burst - spent + (now - since) * self.per_second)

    def __len__(self) -> int:
        return len(self._spent)
