"""Numbers, times and charts as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from bastion.web import charts, figures


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (figures.number(0), "0"),
        (figures.number(14.24), "14.2"),
        (figures.number(0.0412), "0.04"),
        (figures.number(1204), "1\u202f204"),
        (figures.size(310 * 1024), "310 KiB"),
        (figures.size(42.4 * 1024**2), "42.4 MiB"),
        (figures.milliseconds(0.0123), "12.3 ms"),
        (figures.milliseconds(0.0004), "<1 ms"),
        (figures.milliseconds(12.5), "12.5 s"),
        (figures.span(59), "59 s"),
        (figures.span(18 * 60), "18 min"),
        (figures.span(2 * 3600 + 47 * 60), "2 h 47 min"),
        (figures.span(3 * 86400 + 4 * 3600), "3 days 4 h"),
        (figures.percent(None), "–"),
        (figures.percent(1.0), "100 %"),
        (figures.percent(0.99999), "99.99 %"),
        (figures.percent(0.9993), "99.93 %"),
        (figures.percent(0.29), "29.00 %"),
        (figures.count(1, "service"), "one service"),
        (figures.count(14, "service"), "14 services"),
        (figures.listed(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_a_figure_is_read_at_a_glance_and_never_better_than_it_is(said: str, text: str) -> None:
    assert said == text


def test_in_bars_taller_is_worse() -> None:
    heights = {state: path.split("v")[1].split("m")[0] for state, path in charts.bars("ugdmn")}
    assert float(heights["u"]) < float(heights["g"]) < float(heights["d"])


@pytest.mark.parametrize(
    ("values", "path"),
    [((), ""), ((1.0,), ""), ((0.0, 1.0), "M2.0 22.0L93.0 2.0"), ((0.0, 0.0), "M2.0 22.0L93.0 22.0")],
)
def test_a_line_begins_at_zero(values: Any, path: str) -> None:
    assert charts.line(values)[0] == path
