"""Which group of a service's paths does a path belong to, and which spelling has only one reading?"""

from __future__ import annotations

import pytest

from bastion.kube.pathgroups import MOST_GROUPS, is_clear, parse_path_groups, path_of

RULES = "metrics=/metrics,/-/healthy; admin=/admin/*; app=/app/*; deep=/app/a/b/*; root=/"


@pytest.mark.parametrize(
    ("path", "group"),
    [
        (b"/metrics", "metrics"),
        (b"/-/healthy", "metrics"),
        (b"/metrics/", ""),
        (b"/metrics/x", ""),
        (b"/metricsx", ""),
        (b"/METRICS", ""),
        (b"/-", ""),
        (b"/admin", "admin"),
        (b"/admin/", "admin"),
        (b"/admin/a/b", "admin"),
        (b"/administrator", ""),
        (b"/Admin/x", ""),
        (b"/x/admin/y", ""),
        (b"/app/a", "app"),
        (b"/app/a/b", "deep"),
        (b"/app/a/b/c/d/e", "deep"),
        (b"/app/a/bc", "app"),
        (b"/", "root"),
        (b"/x", ""),
    ],
)
def test_the_longest_match_names_the_group(path: bytes, group: str) -> None:
    assert parse_path_groups(RULES).group(path) == group


@pytest.mark.parametrize(
    ("path", "group"),
    [
        (b"/", "app"),
        (b"/x/y", "app"),
        (b"/admin", "admin"),
        (b"/admin/x", "admin"),
        (b"/metrics", "metrics"),
        # what many a backend reads as a path of another group is of none: only services/proxy has it
        (b"/ADMIN/x", ""),
        (b"/aDmin", ""),
        (b"/metrics/", ""),
        (b"/Metrics", ""),
        (b"/metrics/x", "app"),
    ],
)
def test_everything_but_what_another_group_has(path: bytes, group: str) -> None:
    assert parse_path_groups("app=/*; admin=/admin/*; metrics=/metrics").group(path) == group


def test_a_long_path_costs_no_more_than_its_first_segments() -> None:
    groups = parse_path_groups("a=/a/*")
    assert groups.group(b"/a" + b"/x" * 1_000_000) == "a"
    assert groups.group(b"/b" * 1_000_000) == ""


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "no group"),
        (" ; ", "no group"),
        ("/metrics", "of the form"),
        ("Metrics=/metrics", "of the form"),
        ("a/b=/x", "of the form"),
        ("-a=/x", "of the form"),
        ("=/x", "of the form"),
        ("a=", "not a path"),
        ("a=/x,", "not a path"),
        ("a=x", "not a path"),
        ("a=/x*", "not a path"),
        ("a=/*/x", "not a path"),
        ("a=/x/*/*", "not a path"),
        ("a=*", "not a path"),
        ("a=//x", "not a path"),
        ("a=/x//*", "not a path"),
        ("a=/x/../y", "not a path"),
        ("a=/%61", "not a path"),
        ("a=/ä", "not a path"),
        ("a=/x?y", "not a path"),
        ("a=/x; b=/x", "in two groups"),
        ("a=/x/*; b=/x/*", "in two groups"),
        ("a=/x; b=/X", "only in case"),
        ("a=/x; b=/x/", "only in case"),
        (";".join(f"g{n}=/{n}" for n in range(MOST_GROUPS + 1)), "more than 16"),
    ],
)
def test_what_is_no_value(value: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_path_groups(value)


@pytest.mark.parametrize("value", ["a=/x;", " a = /x , /y ; b = /z/* ", "a=/x; a=/y", "a=/x,/x"])
def test_what_is_one(value: str) -> None:
    assert "a" in parse_path_groups(value).names


CLEAR = [
    b"/",
    b"/a",
    b"/a/",
    b"/a/b",
    b"/a.b/c",
    b"/.well-known/x",
    b"/-/healthy",
    b"/a+b",
    b"/~x/@y:z,w=(1)",
]
UNCLEAR = [
    b"//",
    b"/a//b",
    b"/./a",
    b"/../a",
    b"/a/.",
    b"/a/..",
    b"/a/...",
    b"/admin.",
    b"/%61",
    b"/%2e%2e/a",
    b"/a%2fb",
    b"/a%5cb",
    b"/a%00",
    b"/a%20",
    b"/%c0%af",
    b"/%",
    b"/%u002e",
    b"/a\\b",
    b"/a;b",
    b"/..;/a",
    b"/a#b",
    b"/a b",
    b"/a\tb",
    b"/\xc3\xa4",
    b"/a|b",
    b"/a\x00",
    b"/a\n",
    b"",
]


@pytest.mark.parametrize("path", CLEAR)
def test_one_reading(path: bytes) -> None:
    assert is_clear(path)


@pytest.mark.parametrize("path", UNCLEAR)
def test_more_than_one_reading(path: bytes) -> None:
    assert not is_clear(path)


@pytest.mark.parametrize(
    ("rest", "path"), [(b"", b"/"), (b"?q=/admin", b"/"), (b"/a?b?c", b"/a"), (b"/?", b"/"), (b"*", b"/*")]
)
def test_the_path_is_what_the_backend_is_sent(rest: bytes, path: bytes) -> None:
    assert path_of(rest) == path
