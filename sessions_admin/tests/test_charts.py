"""Figures become shapes that say the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_admin.metrics import charts

BYTES = 1024


@pytest.mark.parametrize(
    ("unit", "edges"),
    [
        (10, {0: 1, 1: 1, 2: 2, 3: 4, 5: 6, 9: 10, 11: 20, 99: 100, 70_001: 80_000}),
        (BYTES, {0: 1, 3: 4, 700: 800, 801: 1024, 1025: 2 * BYTES, 5_000_000: 6 * BYTES**2}),
    ],
)
def test_the_upper_edge_is_round_in_the_units_of_the_figure(unit: int, edges: dict[int, int]) -> None:
    assert {figure: charts.ceiling(figure, unit=unit) for figure in edges} == edges


@given(st.floats(min_value=0.001, max_value=1e15))
def test_the_upper_edge_is_never_below_nor_far_above(figure: float) -> None:
    for unit in (10, BYTES):
        assert figure <= charts.ceiling(figure, unit=unit) <= max(2 * figure, 1)


def test_bars_are_as_high_as_their_share_and_say_what_they_are() -> None:
    drawn = charts.bars([5, 0, 10], ["five", "none", "ten"])

    assert drawn.top == 10
    assert [(bar.y, bar.height, bar.label) for bar in drawn.boxes] == [
        ("60", "60", "five"),
        ("120", "0", "none"),
        ("0", "120", "ten"),
    ]
    assert [room.x for room, _ in drawn.columns] == ["0", "200", "400"]
    assert (drawn.boxes[0].x, drawn.boxes[0].width) == ("25", "150")
    assert charts.bars([], []).columns == []


def test_a_line_goes_from_the_first_place_to_the_last() -> None:
    drawn = charts.area([(100, 0), (150, 4), (200, 2)], top=4)

    assert drawn.line == "M0 120 L300 0 L600 60"
    assert drawn.area == "M0 120 L300 0 L600 60 L600 120 L0 120 Z"


def test_fewer_than_two_points_are_no_line_and_two_at_one_place_are_one() -> None:
    assert charts.area([], top=1) == charts.area([(1.0, 1.0)], top=1) == charts.Area("", "")
    assert charts.area([(1, 1), (1, 1)], top=1).line == "M0 0 L0 0"


def test_parts_share_the_room_and_those_of_nothing_are_left_out() -> None:
    drawn = charts.parts([1, 0, 3], ["One", "None", "Three"], ["a", "b", "c"])

    assert [(part.x, part.width, part.label, part.name) for part in drawn] == [
        ("0", "150", "One", "a"),
        ("150", "450", "Three", "c"),
    ]
    assert charts.parts([0], ["None"], ["a"]) == []
