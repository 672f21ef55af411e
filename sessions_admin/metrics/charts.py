"""Convert figures to the shapes of charts: bars, a line with its area, a stacked bar. Pure functions, no markup.

The coordinates are in a box of `WIDTH` by `HEIGHT`, which the page scales; labels are outside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600.0, 120.0
GAP = 0.25  # between bars, as a part of a column


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with its label."""

    x: str
    y: str
    width: str
    height: str
    label: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar per figure; `rooms` are the columns around the bars, `top` is the figure at the upper edge."""

    boxes: list[Box]
    rooms: list[Box]
    top: float

    @property
    def columns(self) -> list[tuple[Box, Box]]:
        """Return each column with its bar."""
        return list(zip(self.rooms, self.boxes, strict=True))


@dataclass(frozen=True, slots=True)
class Area:
    """A line and the area below it; empty for fewer than two points."""

    line: str
    area: str


def bars(figures: Sequence[float], labels: Sequence[str]) -> Bars:
    """Draw a bar for each figure; zero has no height."""
    top = ceiling(max(figures, default=0))
    room = WIDTH / max(len(figures), 1)
    boxes, rooms = [], []
    for index, (figure, label) in enumerate(zip(figures, labels, strict=True)):
        height = HEIGHT * figure / top
        x, width = format_number(room * (index + GAP / 2)), format_number(room * (1 - GAP))
        boxes.append(Box(x, format_number(HEIGHT - height), width, format_number(height), label))
        rooms.append(Box(format_number(room * index), "0", format_number(room), format_number(HEIGHT), label))
    return Bars(boxes, rooms, top)


def area(points: Sequence[tuple[float, float]], *, top: float) -> Area:
    """Draw a line through (position, figure) points; `top` is the figure at the upper edge."""
    if len(points) < 2:
        return Area("", "")
    start, end = points[0][0], points[-1][0]
    span = (end - start) or 1
    places = [(WIDTH * (at - start) / span, HEIGHT * (1 - figure / top)) for at, figure in points]
    line = "M" + " L".join(f"{format_number(x)} {format_number(y)}" for x, y in places)
    return Area(line, f"{line} L{format_number(WIDTH)} {format_number(HEIGHT)} L0 {format_number(HEIGHT)} Z")


def parts(figures: Sequence[float], labels: Sequence[str], names: Sequence[str]) -> list[Box]:
    """Draw one stacked bar; parts of zero are omitted."""
    total = sum(figures) or 1
    boxes, x = [], 0.0
    for figure, label, name in zip(figures, labels, names, strict=True):
        width = WIDTH * figure / total
        if figure:
            boxes.append(Box(format_number(x), "0", format_number(width), format_number(HEIGHT), label, name))
        x += width
    return boxes


def ceiling(figure: float, *, unit: float = 10) -> float:
    """Return the next round figure whose half is round, too. `unit` is 1,024 for bytes."""
    if figure <= 0:
        return 1
    power = 1.0
    while power * unit <= figure:
        power *= unit
    steps = [1, 2, 4, 6, 8, 10] if unit == 10 else [1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 800, 1024]
    return next(power * step for step in steps if power * step >= figure)


def format_number(value: float) -> str:
    """Format a number with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
