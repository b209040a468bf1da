"""Is the program still drawn on one sheet?"""

from __future__ import annotations

from collections import Counter

from tests.drawing import MOST_ROOMS, arrows, bands, circle, drawing


def test_the_rooms_fit_on_one_sheet() -> None:
    rooms = [name for row in bands() for name in row]
    assert len(rooms) <= MOST_ROOMS
    assert set(rooms) == set(arrows())
    assert all(f"{name}/" in drawing() for name in rooms)


def test_no_circle_of_rooms() -> None:
    assert circle(arrows()) == []


def test_a_circle_is_found() -> None:
    edges = {"a": Counter("b"), "b": Counter("c"), "c": Counter("b")}
    assert circle(edges) == ["b", "c", "b"]
