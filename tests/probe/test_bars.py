"""What do the bars of a history say, and what counts against uptime?"""

from __future__ import annotations

from bastion.kube.annotationvalues import Maintenance
from bastion.probe.history import SLOT, Key, Outcome, Slots, Track
from bastion.probe.reports import brief_of
from bastion.probe.target import target_of
from bastion.probe.wanted import Wanted

DAY = 86400.0
NOW = 1_800_000_000.0 // DAY * DAY + DAY - 1


def slots(*counts: tuple[float, int, int]) -> Slots:
    """Seconds before now, good and bad."""
    found = Slots()
    for ago, good, bad in sorted(counts, reverse=True):
        found.add(int((NOW - ago) // SLOT), good, bad)
    return found


def test_a_bar_is_its_worst() -> None:
    found = slots((0, 20, 0), (DAY, 19, 1), (2 * DAY, 0, 20), (3 * DAY, 10, 0))
    assert found.bars(NOW, "90d")[-5:] == "nudgu"
    assert len(found.bars(NOW, "90d")) == 90
    assert found.bars(NOW, "24h")[-1] == "u"


def test_it_was_not_down_while_one_endpoint_was_up() -> None:
    whole, one, other = slots((0, 0, 20)), slots((0, 20, 0)), slots((0, 0, 20))
    assert whole.bars(NOW, "90d", [one, other])[-1] == "g"
    assert whole.bars(NOW, "90d", [other])[-1] == "d"


def test_uptime_is_the_share_of_what_was_good_and_announced_windows_do_not_count() -> None:
    window = Maintenance(100.0, 200.0, "")
    wanted = Wanted("Service", "shop", "web", target_of(b"services/shop/web"), "m", maintenance=window)
    track = Track()
    for at in (10.0, 50.0, 120.0, 150.0, 210.0):
        good = at not in (50.0, 120.0, 150.0)
        track.add(Outcome(at, good, 0.1, counted=wanted.counts(at)), 1, 1)
    assert track.slots.uptime(300.0, 3600) == 2 / 3


def test_a_bar_says_that_there_was_maintenance_unless_something_worse_was_seen() -> None:
    found = slots(
        (0, 20, 0), (1200, 0, 0), (DAY, 0, 0), (2 * DAY, 0, 0), (2 * DAY + SLOT, 0, 20), (3 * DAY, 9, 0)
    )
    assert found.bars(NOW, "90d")[-5:] == "nudmm"
    assert found.bars(NOW, "24h")[-1] == "m"
    assert found.uptime(NOW, 90 * DAY) == 29 / 49
    found.add(int((NOW + 91 * DAY) // SLOT), 0, 0)
    assert len(found.away) == 1


def test_a_trend_is_the_mean_of_parts_of_the_last_hour() -> None:
    track = Track()
    for n in range(120):
        track.add(Outcome(NOW - 120 + n, True, 0.1 if n < 60 else 0.3), 1, 1)
    trend = brief_of({Key("t", "m", ""): track}, NOW).trend
    assert len(trend) == 28
    assert (trend[0], trend[-1]) == (0.1, 0.3)
