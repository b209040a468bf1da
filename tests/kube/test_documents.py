"""Is a file read as kubectl reads it?

The values beside each text are what `kubectl annotate --local -o json` makes of it.
"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.kube.documents import documents, yaml_of

VALUES = [
    ("=", "="),
    ("['!=', =, =~]", ["!=", "=", "=~"]),
    ("<<", "<<"),
    ("[y, Y, yes, Yes, YES, on, On, ON, true, True, TRUE]", [True] * 11),
    ("[n, N, no, No, NO, off, Off, OFF, false, False, FALSE]", [False] * 11),
    ("[yEs, oN, tRUE, 'yes', \"on\"]", ["yEs", "oN", "tRUE", "yes", "on"]),
    ("[~, null, Null, NULL, nULL, '']", [None, None, None, None, "nULL", ""]),
    ("[0, -1, +5, 1_000, 0x1f, 0b11, 014, 0o14]", [0, -1, 5, 1000, 31, 3, 12, 12]),
    ("[0X1F, 0B1, 0O7, -0b11, 0x_f, 1_, 00, 0_1]", [31, 1, 7, -3, 15, 1, 0, 1]),
    (
        "[0x, 0x_, 0b, 0b2, _1, 0o, +, ., 1e, 1e+]",
        ["0x", "0x_", "0b", "0b2", "_1", "0o", "+", ".", "1e", "1e+"],
    ),
    ("[1e3, .5, 1., -2.5, 08, 1_0.5]", [1000, 0.5, 1, -2.5, 8, 10.5]),
    ("123456789012345678901234567890", 1.2345678901234568e29),
    ("18446744073709551615", 18446744073709551615),
    (
        "[12:30, 1:30.5, 1.2.3, 0x, 2026-01-02, 2026-01-02T03:04:05Z]",
        ["12:30", "1:30.5", "1.2.3", "0x", "2026-01-02", "2026-01-02T03:04:05Z"],
    ),
    ("!vault {a: !secret x}", {"a": "x"}),
    (
        "{1: a, true: b, off: c, 1.5: d, 0o14: e, =: f}",
        {"1": "a", "true": "b", "false": "c", "1.5": "d", "12": "e", "=": "f"},
    ),
    ("{on: a, 'true': b}", {"true": "b"}),
    ("{one: &l {a: 1, b: 2}, two: {a: 0, <<: *l, b: 3}}", {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 3}}),
    (
        "{one: &l {a: 1}, two: &m {a: 2, b: 2}, three: {<<: [*l, *m]}}",
        {"one": {"a": 1}, "two": {"a": 2, "b": 2}, "three": {"a": 1, "b": 2}},
    ),
    ('{"a": "\\ud83d\\ude00"}', {"a": "\N{GRINNING FACE}"}),
    ("{a: b}", {"a": "b"}),
    ('{"a": b}', {"a": "b"}),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_value(text: Any, value: Any) -> None:
    (document,) = documents(text)
    assert (document.value, type(document.value)) == (value, type(value))
    assert repr(document.value) == repr(value), "1 is not true"


SEVERAL = [
    ("", []),
    ("---\n", [None]),
    ("# nothing\n---\na: 1\n...\n---\n# nothing\n---\nb: 2", [{"a": 1}, None, {"b": 2}]),
    ("%YAML 1.1\n---\na: 1\n", [{"a": 1}]),
    ('{"a": 1}{"b": 2}\n{"c": 3}\n', [{"a": 1}, {"b": 2}, {"c": 3}]),
    ('{"a": 1}\n---\n{"b": 2}\n---\nc: 3\n', [{"a": 1}, {"b": 2}, {"c": 3}]),
    ("a: |\n  x\n  ---\n  y\n---\n{}", [{"a": "x\n---\ny\n"}, {}]),
]


@pytest.mark.parametrize(("text", "values"), SEVERAL)
def test_several_documents(text: Any, values: Any) -> None:
    assert [document.value for document in documents(text)] == values


REPEATED = [
    ("{a: 1, b: 2}", ()),
    ("{a: {b: 1, b: 2}, c: [{d: 1, d: 2, d: 3}]}", ("a.b", "c[0].d", "c[0].d")),
    ('{"a": {"b": 1, "b": 2}, "c": [{"d": 1, "d": 2}]}', ("a.b", "c[0].d")),
    ("{on: 1, true: 2}", ("true",)),
]


@pytest.mark.parametrize(("text", "repeated"), REPEATED)
def test_a_name_that_is_there_twice_is_told(text: Any, repeated: Any) -> None:
    (document,) = documents(text)
    assert document.repeated == repeated


MISTAKES = [
    ("a: 1\n---\n\nb: [\n", 1, "line 5: did not find expected node content"),
    ('{"a": 1}\n{"b": ', 1, "line 2: Expecting value"),
    ('x: y\n---\n{"a": "\\ud83d\\ude00",\n "b" 1}', 1, "line 4: Expecting ':' delimiter"),
    ("null: 1", 0, "line 1: a key must be a string, a number or a boolean"),
    ("? [a]\n: b", 0, "line 1: a key must be a string, a number or a boolean"),
    ("<<: 5", 0, "line 1: only a mapping can be merged"),
    ("!!int x", 0, "a value does not fit its tag"),
    ("[" * 100_000, 0, "is nested too deeply"),
    ("- " * 100_000, 0, "is nested too deeply"),
    ("\n".join(" " * depth + "a:" for depth in range(3000)), 0, "is nested too deeply"),
    ('{"a":' * 100_000, 0, "is nested too deeply"),
]


@pytest.mark.parametrize(("text", "read", "mistake"), MISTAKES)
def test_a_mistake_is_told_in_a_line_after_what_comes_before_it(text: Any, read: Any, mistake: Any) -> None:
    found = documents(text)
    for _ in range(read):
        next(found)
    with pytest.raises(ValueError, match=f"^{mistake.replace('[', '.')}") as caught:
        list(found)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["y", "n", "off", "1e5", "0o14", "1_0", "=", "<<", "~", "12:30", "2026-01-02", "5", "true", "a: b", ""],
)
def test_what_is_written_is_read_as_what_it_is(text: Any) -> None:
    (document,) = documents(yaml_of({"users": [{"name": text}]}))
    assert document.value == {"users": [{"name": text}]}
