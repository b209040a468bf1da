"""Does a look-up tell what the last change said, and does nobody hold what is not his?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.discovery.catalog import TAKEN_OUT, WIDE, Catalog
from bastion.discovery.index import Index, Memo
from tests.fakes import backed_by, catalog_of, endpoints, node, pod, put, remove, service
from tests.present import present

IP, OTHER = "10.0.0.1", "10.0.0.2"


def name_of(object: Any) -> Any:
    return object.metadata.name if object is not None else None


# --- whose address is it?

OWNERS = [
    pytest.param([], None, id="nobody"),
    pytest.param([pod("a", IP)], "a", id="one"),
    pytest.param([pod("a", IP, phase="Succeeded")], None, id="succeeded"),
    pytest.param([pod("a", IP, phase="Failed")], None, id="failed"),
    pytest.param([pod("a", IP, phase="Pending")], "a", id="pending"),
    pytest.param(
        [pod("old", IP, created="2026-01-01T00:00:00Z"), pod("new", IP, created="2026-01-02T00:00:00Z")],
        "new",
        id="the-newest",
    ),
    pytest.param(
        [pod("new", IP, created="2026-01-02T00:00:00Z"), pod("old", IP, created="2026-01-01T00:00:00Z")],
        "new",
        id="in-any-order",
    ),
    pytest.param(
        [
            pod("old", IP, created="2026-01-01T00:00:00Z"),
            pod("ended", IP, created="2026-01-02T00:00:00Z", phase="Failed"),
        ],
        "old",
        id="the-ended-owns-nothing",
    ),
    pytest.param([pod("a", IP, uid="1"), pod("b", IP, uid="2")], "b", id="a-tie-is-broken-the-same-way"),
    pytest.param([pod("b", IP, uid="2"), pod("a", IP, uid="1")], "b", id="a-tie-in-any-order"),
    pytest.param(
        [pod("host", IP, host_network=True, created="2026-01-09T00:00:00Z"), pod("own", IP)],
        "own",
        id="the-pod-network-first",
    ),
    pytest.param([pod("a", OTHER, IP)], "a", id="second-family"),
]


@pytest.mark.parametrize(("pods", "owner"), OWNERS)
def test_an_address_belongs_to_the_newest_live_pod(pods: Any, owner: Any) -> None:
    catalog = catalog_of(pods=pods)
    assert name_of(catalog.owner_of(IP)) == owner
    for raw in pods:
        known = catalog.pods[("ns", raw["metadata"]["name"])]
        assert catalog.owns(known, IP) is (known.metadata.name == owner)


def test_pods_of_the_host_network_share_their_nodes_address() -> None:
    catalog = catalog_of(
        pods=[
            pod("a", IP, host_network=True),
            pod("b", IP, host_network=True),
            pod("ended", IP, host_network=True, phase="Failed"),
        ]
    )
    assert {name: catalog.owns(known, IP) for (_, name), known in catalog.pods.items()} == {
        "a": True,
        "b": True,
        "ended": False,
    }


def test_nobody_owns_an_address_that_he_does_not_have() -> None:
    catalog = catalog_of(pods=[pod("a", IP), pod("b", OTHER)])
    assert not catalog.owns(catalog.pods[("ns", "a")], OTHER)


def test_an_address_is_taken_over_and_given_back() -> None:
    catalog = catalog_of(pods=[pod("old", IP)])
    old = catalog.pods[("ns", "old")]
    put(catalog, "pods", pod("new", IP, namespace="other", created="2026-01-02T00:00:00Z"))
    assert not catalog.owns(old, IP)
    put(catalog, "pods", pod("new", IP, namespace="other", created="2026-01-02T00:00:00Z", phase="Failed"))
    assert catalog.owns(old, IP)
    remove(catalog, "pods", "new", "other")
    assert catalog.owns(old, IP)
    remove(catalog, "pods", "old")
    assert catalog.owner_of(IP) is None


def test_a_pod_that_moves_leaves_its_address() -> None:
    catalog = catalog_of(pods=[pod("a", IP)])
    put(catalog, "pods", pod("a", OTHER))
    assert (name_of(catalog.owner_of(IP)), name_of(catalog.owner_of(OTHER))) == (None, "a")


# --- slices


def names_of(catalog: Any, of: Any, namespace: str = "ns") -> Any:
    return sorted(piece.metadata.name for piece in catalog.slices_of(namespace, of).values())


def test_slices_are_found_by_namespace_and_service() -> None:
    catalog = catalog_of(
        endpointslices=[
            endpoints("web", {}, name="web-1"),
            endpoints("web", {}, name="web-2"),
            endpoints("web", {}, name="web-1", namespace="other"),
            endpoints("db", {}, name="db-1"),
        ]
    )
    assert names_of(catalog, "web") == ["web-1", "web-2"]
    assert names_of(catalog, "web", "other") == ["web-1"]
    assert names_of(catalog, "none") == []


def test_a_slice_that_changes_its_service_leaves_the_old_one() -> None:
    catalog = catalog_of(endpointslices=[endpoints("web", {}, name="x")])
    put(catalog, "endpointslices", endpoints("db", {}, name="x"))
    assert (names_of(catalog, "web"), names_of(catalog, "db")) == ([], ["x"])
    put(catalog, "endpointslices", endpoints("", {}, name="x"))
    assert (names_of(catalog, "web"), names_of(catalog, "db")) == ([], [])
    remove(catalog, "endpointslices", "x")


# --- lists


@pytest.mark.parametrize(
    ("resource", "make", "namespace"),
    [
        ("pods", lambda name: pod(name, IP), "ns"),
        ("services", service, "ns"),
        ("endpointslices", lambda name: endpoints("web", {}, name=name), "ns"),
        ("nodes", node, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_whole_list_does_not_hold_is_gone(resource: Any, make: Any, namespace: Any) -> None:
    catalog = catalog_of(**{resource: [make("kept"), make("gone")]})
    catalog.synced[resource] = False
    list(catalog.retain(resource, {(namespace, "kept"), (namespace, "not-yet-applied")}))
    assert catalog.keys(resource) == {(namespace, "kept")}
    assert catalog.synced[resource]


def test_deleting_what_is_not_there_does_nothing() -> None:
    catalog = Catalog()
    for resource in ("pods", "services", "endpointslices", "nodes"):
        remove(catalog, resource, "x")
        assert catalog.keys(resource) == set()


def test_a_list_of_one_namespace_says_nothing_about_another() -> None:
    catalog = catalog_of(pods=[pod("gone", IP), pod("kept", OTHER, namespace="other")])
    list(catalog.retain("pods", set(), "ns"))
    assert catalog.keys("pods") == {("other", "kept")}


def test_a_resource_is_read_once_all_of_its_lists_are() -> None:
    catalog = Catalog()
    catalog.expect("pods", "a")
    catalog.expect("pods", "b")
    catalog.expect("services")
    for resource, namespace, synced in (("pods", "a", False), ("services", "", False), ("pods", "b", True)):
        assert not all(catalog.synced.values())
        list(catalog.retain(resource, set(), namespace))
        assert catalog.synced["pods"] is synced
    assert catalog.synced == {"pods": True, "services": True}


# --- what was worked out is dropped when what it came from changes

WEB = [
    ("services", service("web", {"port": 80})),
    ("endpointslices", endpoints("web", {"": 80}, backed_by("a", IP))),
    ("pods", pod("a", IP)),
]
CHANGES = [
    pytest.param(lambda c: put(c, "services", service("web", {"port": 81})), id="service-changed"),
    pytest.param(lambda c: put(c, "services", service("web", {"port": 80})), id="service-seen-again"),
    pytest.param(lambda c: remove(c, "services", "web"), id="service-deleted"),
    pytest.param(
        lambda c: put(c, "endpointslices", endpoints("web", {"": 81}, backed_by("a", IP))), id="slice-changed"
    ),
    pytest.param(
        lambda c: put(c, "endpointslices", endpoints("web", {"": 80}, name="web-2")), id="slice-added"
    ),
    pytest.param(lambda c: remove(c, "endpointslices", "web-1"), id="slice-deleted"),
    pytest.param(
        lambda c: put(c, "endpointslices", endpoints("db", {"": 80}, backed_by("a", IP), name="web-1")),
        id="slice-moved",
    ),
    pytest.param(lambda c: put(c, "pods", pod("a", IP, phase="Failed")), id="pod-ended"),
    pytest.param(lambda c: put(c, "pods", pod("a", OTHER)), id="pod-moved"),
    pytest.param(lambda c: remove(c, "pods", "a"), id="pod-deleted"),
    pytest.param(
        lambda c: put(c, "pods", pod("b", IP, created="2027-01-01T00:00:00Z")), id="address-taken-over"
    ),
    pytest.param(
        lambda c: put(c, "pods", pod("b", IP, namespace="other")), id="address-taken-over-elsewhere"
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_memo_is_dropped_when_what_it_came_from_changes(change: Any) -> None:
    catalog = Catalog()
    for resource, raw in WEB:
        put(catalog, resource, raw)
    catalog.memos.services.of("ns", "web")["worked"] = "out"
    change(catalog)
    assert catalog.memos.services.get("ns", "web") is None


def test_a_memo_outlives_what_it_did_not_come_from() -> None:
    catalog = Catalog()
    for resource, raw in WEB:
        put(catalog, resource, raw)
    catalog.memos.services.of("ns", "web")["worked"] = "out"
    put(catalog, "pods", pod("b", OTHER))
    put(catalog, "pods", pod("a", IP))  # seen again, unchanged
    put(catalog, "services", service("db"))
    put(catalog, "services", service("web", namespace="other"))
    put(catalog, "endpointslices", endpoints("web", {"": 80}, backed_by("a", IP)))  # unchanged
    put(catalog, "endpointslices", endpoints("db", {"": 80}, backed_by("b", OTHER)))
    put(catalog, "nodes", node("n"))
    assert catalog.memos.services.get("ns", "web") == {"worked": "out"}


def test_a_pod_of_two_services_drops_both_memos_also_after_one_of_them_left() -> None:
    catalog = Catalog()
    for of in ("one", "two"):
        put(catalog, "endpointslices", endpoints(of, {"": 80}, backed_by("a", IP)))
    put(catalog, "endpointslices", endpoints("one", {"": 80}, backed_by("a", IP), name="one-2"))
    assert dropped(catalog, lambda: put(catalog, "pods", pod("a", IP))) == ["one", "two"]
    remove(catalog, "endpointslices", "one-1")  # one-2 still names the pod
    assert dropped(catalog, lambda: remove(catalog, "pods", "a")) == ["one", "two"]
    remove(catalog, "endpointslices", "one-2")
    assert dropped(catalog, lambda: put(catalog, "pods", pod("a", IP))) == ["two"]


def dropped(catalog: Any, change: Any) -> Any:
    """The services, of two, whose memo is no more."""
    for name in ("one", "two"):
        catalog.memos.services.of("ns", name)
    change()
    return [name for name in ("one", "two") if catalog.memos.services.get("ns", name) is None]


# --- who holds an address is told when its pod no longer has it

LEAVING = [
    # the pods there are, the change, the addresses told of
    pytest.param([pod("a", IP)], lambda c: remove(c, "pods", "a"), [IP], id="deleted"),
    pytest.param([pod("a", IP)], lambda c: put(c, "pods", pod("a", IP, phase="Failed")), [IP], id="ended"),
    pytest.param([pod("a", IP)], lambda c: put(c, "pods", pod("a", OTHER)), [IP], id="moved"),
    pytest.param(
        [pod("a", IP, OTHER)], lambda c: put(c, "pods", pod("a", IP)), [OTHER], id="lost-one-of-two"
    ),
    pytest.param(
        [pod("a", IP)],
        lambda c: put(c, "pods", pod("a", IP, uid="another")),
        [IP],
        id="another-pod-of-the-same-name",
    ),
    pytest.param(
        [pod("a", IP)], lambda c: put(c, "pods", pod("a", IP, containers=[[80]])), [], id="changed-but-stays"
    ),
    pytest.param([pod("a", IP)], lambda c: put(c, "pods", pod("b", OTHER)), [], id="another-pod"),
    pytest.param([pod("a")], lambda c: put(c, "pods", pod("a", IP)), [], id="an-address-at-last"),
    pytest.param([pod("a", IP)], lambda c: list(c.retain("pods", set())), [IP], id="not-in-the-list"),
    pytest.param(
        [pod("a", IP, host_network=True), pod("b", IP, host_network=True)],
        lambda c: remove(c, "pods", "a"),
        [],
        id="shared-and-another-stays",
    ),
    pytest.param(
        [pod("a", IP, host_network=True)],
        lambda c: remove(c, "pods", "a"),
        [IP],
        id="shared-and-the-last-leaves",
    ),
]


@pytest.mark.parametrize(("pods", "change", "told"), LEAVING)
def test_an_address_that_its_pod_has_left_is_told(
    pods: list[Any], change: Callable[[Catalog], object], told: list[str]
) -> None:
    catalog, heard = catalog_of(pods=pods), list[str]()
    catalog.listeners.address_gone.append(heard.append)
    change(catalog)
    assert heard == told


NODE, MOVED = (
    node("n", ("InternalIP", IP), ("Hostname", "n")),
    node("n", ("InternalIP", OTHER), ("Hostname", "n")),
)
HOSTED = [pod("a", IP, host_network=True), pod("b", IP, host_network=True)]

LEFT = [
    # the pods and nodes there are, the change, the addresses that were left, those that are gone with their
    # node
    pytest.param([pod("a", IP)], [], lambda c: remove(c, "pods", "a"), [IP], [], id="a-pod"),
    pytest.param(HOSTED, [], lambda c: remove(c, "pods", "a"), [IP], [], id="one-of-two-that-share"),
    pytest.param(
        [pod("a", IP)],
        [],
        lambda c: put(c, "pods", pod("b", IP)),
        [IP],
        [],
        id="taken-over-before-it-was-left",
    ),
    pytest.param(HOSTED[:1], [], lambda c: put(c, "pods", HOSTED[1]), [], [], id="shared-from-now-on"),
    pytest.param(
        [pod("a", IP)], [], lambda c: put(c, "pods", pod("a", IP, containers=[[80]])), [], [], id="changed"
    ),
    pytest.param([], [NODE], lambda c: remove(c, "nodes", "n"), [IP, "n"], [IP, "n"], id="a-node"),
    pytest.param([], [NODE], lambda c: put(c, "nodes", MOVED), [IP], [IP], id="a-node-moved"),
    pytest.param([], [NODE], lambda c: put(c, "nodes", NODE), [], [], id="a-node-that-stays"),
    pytest.param(
        [],
        [NODE],
        lambda c: list(c.retain("nodes", set())),
        [IP, "n"],
        [IP, "n"],
        id="a-node-not-in-the-list",
    ),
]


@pytest.mark.parametrize(("pods", "nodes", "change", "left", "gone"), LEFT)
def test_an_address_that_may_be_anothers_by_now_is_told(
    pods: list[Any], nodes: list[Any], change: Callable[[Catalog], object], left: list[str], gone: list[str]
) -> None:
    catalog, heard, of_nodes = catalog_of(pods=pods, nodes=nodes), list[str](), list[str]()
    catalog.listeners.address_left.append(heard.append)
    catalog.listeners.node_gone.append(of_nodes.append)
    change(catalog)
    assert (heard, of_nodes) == (left, gone)


OF_TWO = [backed_by("a", IP), backed_by("b", OTHER)]
LEAVING = [
    pytest.param(endpoints("web", {"": 80}, OF_TWO[0]), [OTHER], id="out-of-the-slice"),
    pytest.param(
        endpoints("web", {"": 80}, OF_TWO[0], backed_by("b", OTHER, ready=False)),
        [OTHER],
        id="not-ready-any-more",
    ),
    pytest.param(endpoints("web", {"": 81}, *OF_TWO), [], id="another-port"),
    pytest.param(None, [IP, OTHER], id="the-slice-is-gone"),
]


@pytest.mark.parametrize(("changed", "left"), LEAVING)
def test_an_endpoint_that_leaves_a_slice_is_told(changed: Any, left: Any) -> None:
    catalog, heard = (  # type: ignore[var-annotated]
        catalog_of(
            pods=[pod("a", IP), pod("b", OTHER)], endpointslices=[endpoints("web", {"": 80}, *OF_TWO)]
        ),
        [],
    )
    catalog.listeners.endpoint_left.append(heard.append)
    if changed is None:
        remove(catalog, "endpointslices", "web-1")
    else:
        put(catalog, "endpointslices", changed)
    assert sorted(heard) == left


# --- whatever happens

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove"]),
        st.sampled_from("ab"),
        st.sampled_from([IP, OTHER]),
        st.sampled_from(["Running", "Failed"]),
        st.booleans(),
    ),
    max_size=25,
)


@given(STEPS)
def test_the_indexes_say_what_a_catalog_built_anew_says(steps: Any) -> None:
    catalog, left = Catalog(), {}
    for what, name, ip, phase, host in steps:
        if what == "put":
            left[name] = (
                pod(name, ip, phase=phase, host_network=host),
                endpoints("web", {"": 80}, backed_by(name, ip), name=f"s-{name}"),
            )
            put(catalog, "pods", left[name][0])
            put(catalog, "endpointslices", left[name][1])
        else:
            left.pop(name, None)
            remove(catalog, "pods", name)
            remove(catalog, "endpointslices", f"s-{name}")
    anew = catalog_of(
        pods=[raw for raw, _ in left.values()], endpointslices=[raw for _, raw in left.values()]
    )
    assert catalog.pods == anew.pods
    assert names_of(catalog, "web") == names_of(anew, "web")
    for ip in (IP, OTHER):
        owner, of_anew = catalog.owner_of(ip), anew.owner_of(ip)
        assert owner == of_anew or (
            present(owner).spec.host_network and present(of_anew).spec.host_network
        ), "these own it together"
        for key, known in catalog.pods.items():
            assert catalog.owns(known, ip) == anew.owns(anew.pods[key], ip)


# --- a change costs what changed, not what a tenant wrote besides


class Counted(dict[str, Any]):
    """The pods, counting how often one is looked at."""

    looks = 0

    def __getitem__(self, key: Any) -> Any:
        Counted.looks += 1
        return super().__getitem__(key)


def test_pods_that_have_ended_cost_nothing_at_their_old_address() -> None:
    catalog = catalog_of(pods=[pod(f"job-{n}", IP, phase="Succeeded") for n in range(3000)])
    assert (catalog.owner_of(IP), len(catalog._at.own)) == (None, 0)
    put(catalog, "pods", pod("live", IP))
    assert name_of(catalog.owner_of(IP)) == "live"


def test_whether_a_pod_of_the_host_network_owns_its_address_takes_no_look_at_the_others() -> None:
    catalog = catalog_of(pods=[pod(f"p{n}", IP, host_network=True) for n in range(500)])
    catalog.pods = Counted(catalog.pods)  # type: ignore[assignment]
    Counted.looks = 0
    assert all(catalog.owns(known, IP) for known in catalog.pods.values())
    assert Counted.looks == 0


def test_a_pod_named_by_very_many_slices_drops_their_memos_at_once() -> None:
    catalog = catalog_of(
        endpointslices=[endpoints(f"s{n}", {"": 80}, backed_by("a", IP)) for n in range(WIDE + 1)]
        + [endpoints("s", {"": 80}, backed_by("a", IP, namespace="other"), namespace="other")]
    )
    for memo in (catalog.memos.services, catalog.memos.slices):
        for name in ("s0", "unrelated"):
            memo.of("ns", name)
        memo.of("other", "s")
    put(catalog, "pods", pod("a", IP))
    assert [len(catalog.memos.services), len(catalog.memos.slices)] == [1, 1]  # those of another namespace


def test_a_pod_drops_nothing_of_a_namespace_that_only_lists_its_address() -> None:
    """A tenant may write anybody's address into thousands of slices: what they lead to is no pod of his."""
    catalog = catalog_of(
        endpointslices=[endpoints("s", {"": 80}, backed_by("a", IP, namespace="other"), namespace="other")]
    )
    catalog.memos.services.of("other", "s")
    put(catalog, "pods", pod("a", IP))
    assert len(catalog.memos.services) == 1


def test_what_a_list_no_longer_holds_is_taken_out_in_steps() -> None:
    catalog = catalog_of(pods=[pod(f"p{n}", f"10.0.{n >> 8}.{n & 255}") for n in range(5000)])
    catalog.expect("pods")
    left = [len(catalog.pods) for _ in catalog.retain("pods", {("ns", "p0")})]
    assert max(before - after for before, after in pairwise([5000, *left])) <= TAKEN_OUT
    assert (len(catalog.pods), catalog.synced["pods"]) == (1, True)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12))))
def test_an_index_holds_what_joined_and_did_not_leave(changes: Any) -> None:
    index: Index[Any] = Index()
    known: dict[Any, Any] = {}
    for joins, one in changes:
        if joins:
            index.join("key", one)
            known.setdefault(one)
        else:
            index.leave("key", one)
            known.pop(one, None)
        assert list(index.get("key")) == list(known)
        assert len(index) == bool(known)


def test_a_memo_forgets_by_name_by_namespace_and_all_at_its_bound() -> None:
    memo = Memo(3)
    for name in ("a", "b"):
        memo.of("ns", name)["x"] = name
    memo.of("other", "a")["x"] = "other"
    memo.forget("ns", "a")
    assert (memo.get("ns", "a"), memo.get("ns", "b"), len(memo)) == (None, {"x": "b"}, 2)
    memo.forget_all("ns")
    assert (memo.get("ns", "b"), memo.get("other", "a"), len(memo)) == (None, {"x": "other"}, 1)
    for name in ("c", "d", "e"):
        memo.of("ns", name)
    assert (memo.get("other", "a"), memo.get("ns", "e"), len(memo)) == (None, {}, 1)


def test_of_large_slices_few_are_taken_out_in_a_step() -> None:
    backing = [backed_by(f"p-{n}", f"10.0.{n >> 8}.{n & 255}") for n in range(1000)]
    catalog = catalog_of(
        endpointslices=[endpoints("web", {"": 80}, *backing, name=f"web-{number}") for number in range(10)]
    )
    steps = [len(catalog.keys("endpointslices")) for _ in catalog.retain("endpointslices", set())]
    assert max(before - after for before, after in pairwise([10, *steps])) <= 2
    assert steps[-1] == 0
