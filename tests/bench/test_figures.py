"""What the bench makes of what it reads: figures, ratios, verdicts, and which parts run."""

from __future__ import annotations

import pytest

from bench import kernel, suites, wrk
from bench.compare import BASE, THIS, ratio
from bench.comparison import divide, spread
from bench.fixture import User, manifests, token_file, web_services
from bench.outcome import Outcome, Target, Verdict, exit_status, verdict_table
from bench.peers import disturbed
from bench.probing import evenness
from bench.scenarios import QUOTIENTS
from bench.turns import in_turn, medians
from bench.websocket import possible

AT_MOST = Target("cost", 2.0, "x")
AT_LEAST = Target("speed", 0.8, "x", at_least=True)


@pytest.mark.parametrize(
    ("target", "measured", "word"),
    [
        (AT_MOST, 1.9, "kept"),
        (AT_MOST, 2.0, "kept"),
        (AT_MOST, 2.1, "MISSED"),
        (AT_LEAST, 0.9, "kept"),
        (AT_LEAST, 0.8, "kept"),
        (AT_LEAST, 0.7, "MISSED"),
        (AT_MOST, None, "skipped"),
        (AT_LEAST, None, "skipped"),
    ],
)
def test_verdict(target: Target, measured: float | None, word: str) -> None:
    assert Verdict(target, measured).word == word


@pytest.mark.parametrize(
    ("measured", "failures", "status"),
    [([1.0], [], 0), ([1.0, 3.0], [], 1), ([None], [], 0), ([1.0], ["3 requests failed"], 1), ([], [], 0)],
)
def test_exit_status(measured: list[float | None], failures: list[str], status: int) -> None:
    outcome = Outcome(failures=failures)
    for value in measured:
        outcome.judge(AT_MOST, value)
    assert exit_status([Outcome(), outcome]) == status


def test_a_skipped_target_says_why() -> None:
    outcome = Outcome()
    outcome.skip([AT_MOST], "envoy is not installed")
    assert "<= 2x" in verdict_table(outcome.verdicts)
    assert verdict_table(outcome.verdicts).endswith("skipped: envoy is not installed")


def test_wrk_figures() -> None:
    load = wrk.read_figures("Requests/sec:  10\nfigures 5000 2000000 310 990 7\n")
    assert (load.requests, load.seconds, load.p50_us, load.p99_us, load.failed, load.rate) == (
        5000,
        2.0,
        310,
        990,
        7,
        2500.0,
    )


@pytest.mark.parametrize(
    "output", ["", "figures 0 1000000 0 0 0\n", "unable to connect to 127.0.0.1:1 Connection refused\n"]
)
def test_no_wrk_figures(output: str) -> None:
    with pytest.raises(wrk.LoadFailed):
        wrk.read_figures(output)


def test_the_mix_names_every_token_and_service() -> None:
    users = [User(f"user-{i}", f"token-{i}") for i in range(3)]
    script = wrk.mixed(users, web_services("127.99.0", 2))
    assert all(f'"Bearer token-{i}"' in script for i in range(3))
    assert all(f"/services/web-0{i}:80/proxy" in script for i in range(2))


def test_descendants_are_found_at_any_depth() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 13: 10, 20: 1}
    assert sorted(kernel.descendants(10, parents)) == [10, 11, 12, 13]


def test_accounting_of_a_name_with_brackets() -> None:
    stat = "42 (a) b) S 7 42 42 0 -1 4194304 1 2 3 4 250 50 0 0 20 0 1 0 100 1 1"
    assert (kernel._parent(stat), kernel._ticks(stat)) == (7, 300)


def test_memory_of_a_zombie_is_none() -> None:
    assert kernel._rss_kib("Name:\tx\nState:\tZ (zombie)\n") == 0
    assert kernel._rss_kib("Name:\tx\nVmRSS:\t    2048 kB\n") == 2048


SUITES = {"peers": ("get", "mix"), "reviews": ("counts",)}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ([], SUITES),
        (["peers"], {"peers": ("get", "mix")}),
        (["peers:mix"], {"peers": ("mix",)}),
        (["peers:mix", "reviews"], {"peers": ("mix",), "reviews": ("counts",)}),
        (["peers:mix", "peers"], {"peers": ("get", "mix")}),
    ],
)
def test_chosen(names: list[str], parts: dict[str, tuple[str, ...]]) -> None:
    assert suites.chosen(names, SUITES) == parts


@pytest.mark.parametrize("name", ["mix", "peers:post", "reviews:", ""])
def test_unknown_names_are_told(name: str) -> None:
    with pytest.raises(suites.UnknownSuite):
        suites.chosen(["peers", name], SUITES)


def test_medians_by_figure_and_the_sum_of_failures() -> None:
    turns = iter([wrk.Load(10, 1.0, 5, 50, 1), wrk.Load(30, 1.0, 7, 20, 0), wrk.Load(20, 1.0, 6, 90, 2)])
    samples = in_turn({"one": None}, lambda _: next(turns), turns=3)
    assert medians(samples["one"]) == {"requests": 20, "seconds": 1.0, "p50_us": 6, "p99_us": 50, "failed": 3}


def test_turns_go_around() -> None:
    asked: list[str] = []
    in_turn({"a": "a", "b": "b"}, asked.append, turns=2)
    assert asked == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("cpu", "lookups", "whole"), [(100, 0, 100), (100, 2, 125), (100, 5, 200), (100, 10, float("inf"))]
)
def test_lookups_are_shared_by_the_requests_of_a_lifetime(cpu: float, lookups: float, whole: float) -> None:
    assert spread(cpu, lookups, 10) == whole


def test_a_quotient_needs_its_peer() -> None:
    cpu = QUOTIENTS[0]
    assert divide({"bastion": {"cpu_us": 80.0}, "envoy": {"cpu_us": 50.0}}, cpu) == 1.6
    assert divide({"bastion": {"cpu_us": 80.0}, "nginx": {"cpu_us": 20.0}}, cpu) is None


@pytest.mark.parametrize(
    ("scenario", "busy", "told"),
    [("get-c128", 0.5, True), ("get-c128", 0.97, False), ("get-c1", 0.5, False), ("download", 0.5, False)],
)
def test_a_disturbed_measurement_is_told(scenario: str, busy: float, told: bool) -> None:
    assert bool(disturbed({"busy": busy}, scenario)) == told


@pytest.mark.parametrize(
    ("descriptors", "tunnels"), [(20_000, 4000), (10_300, 4000), (10_299, 3999), (1024, 289), (100, 1)]
)
def test_no_more_tunnels_than_descriptors_allow(descriptors: int, tunnels: int) -> None:
    assert possible(descriptors) == tunnels


def test_fixture() -> None:
    services = web_services("127.99.3", 2)
    assert [service.addresses for service in services] == [
        ("127.99.3.10", "127.99.3.11"),
        ("127.99.3.12", "127.99.3.13"),
    ]
    assert manifests(services).count('"kind": "Pod"') == 4
    assert token_file([User("a", "secret")]) == 'secret,a,,"bench:users"\n'


def test_two_trees_are_compared_within_each_round() -> None:
    """A machine that is half as fast in one round says nothing about either."""
    assert ratio({"nginx": [9.0] * 3, BASE: [50.0, 100.0, 60.0], THIS: [40.0, 90.0, 54.0]}) == (
        "0.900",
        "0.800..0.900",
    )


@pytest.mark.parametrize("unique", [False, True])
def test_a_head_is_given_to_the_load_as_it_is(unique: bool) -> None:
    script = wrk.heads(User("u", "t"), {"sec-ch-ua": '"Not/A)Brand";v="8"', "Accept": "*/*"}, unique=unique)
    assert """wrk.headers["sec-ch-ua"] = [==["Not/A)Brand";v="8"]==]""" in script
    assert 'wrk.headers["Authorization"] = "Bearer t"' in script
    assert ("X-Request-Id" in script) is unique


@pytest.mark.parametrize(
    ("arrivals", "fullest", "mean"),
    [
        ([], 0, 0.0),
        ([5.0], 1, 1.0),
        ([0.0, 0.5, 1.0, 1.2, 1.9, 2.5], 3, 2.5),
        ([10.0, 10.1, 13.0], 2, 2 / 3),
    ],
    ids=["none", "one", "the last second is not whole", "seconds without any"],
)
def test_the_fullest_second(arrivals: list[float], fullest: int, mean: float) -> None:
    assert evenness(arrivals) == (fullest, mean)
