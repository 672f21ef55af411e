"""Numbers are converted to the shapes of charts."""

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
def test_ceiling_is_round_in_its_unit(unit: int, edges: dict[int, int]) -> None:
    assert {figure: charts.ceiling(figure, unit=unit) for figure in edges} == edges


@given(st.floats(min_value=0.001, max_value=1e15))
def test_ceiling_is_at_least_the_figure_and_at_most_double(figure: float) -> None:
    for unit in (10, BYTES):
        assert figure <= charts.ceiling(figure, unit=unit) <= max(2 * figure, 1)


def test_bars_have_proportional_heights_and_labels() -> None:
    drawn = charts.bars([5, 0, 10], ["five", "none", "ten"])

    assert drawn.top == 10
    assert [(bar.y, bar.height, bar.label) for bar in drawn.boxes] == [
        ("60", "60", "five"),
        ("120", "0", "none"),
        ("0", "120", "ten"),
    ]
    assert [column.x for column, _ in drawn.columns] == ["0", "200", "400"]
    assert (drawn.boxes[0].x, drawn.boxes[0].width) == ("25", "150")
    assert charts.bars([], []).columns == []


def test_area_spans_from_the_first_point_to_the_last() -> None:
    drawn = charts.area([(100, 0), (150, 4), (200, 2)], top=4)

    assert drawn.line == "M0 120 L300 0 L600 60"
    assert drawn.area == "M0 120 L300 0 L600 60 L600 120 L0 120 Z"


def test_area_is_empty_below_two_points_and_accepts_equal_positions() -> None:
    assert charts.area([], top=1) == charts.area([(1.0, 1.0)], top=1) == charts.Area("", "")
    assert charts.area([(1, 1), (1, 1)], top=1).line == "M0 0 L0 0"


def test_parts_share_the_width_and_empty_ones_are_omitted() -> None:
    drawn = charts.parts([1, 0, 3], ["One", "None", "Three"], ["a", "b", "c"])

    assert [(part.x, part.width, part.label, part.name) for part in drawn] == [
        ("0", "150", "One", "a"),
        ("150", "450", "Three", "c"),
    ]
    assert charts.parts([0], ["None"], ["a"]) == []
