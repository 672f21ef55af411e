"""Turn figures into the shapes of a picture: bars, a line with its area, a bar of parts. Pure functions, no markup.

Shapes are in a box of `WIDTH` by `HEIGHT`, which the page stretches to the room that there is; words stand beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600.0, 120.0
GAP = 0.25  # of a bar's room


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; what it stands for, in words."""

    x: str
    y: str
    width: str
    height: str
    label: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar a figure; `rooms` are the columns in which they stand, `top` is the figure at the upper edge."""

    boxes: list[Box]
    rooms: list[Box]
    top: float

    @property
    def columns(self) -> list[tuple[Box, Box]]:
        """Return each room with its bar."""
        return list(zip(self.rooms, self.boxes, strict=True))


@dataclass(frozen=True, slots=True)
class Area:
    """A line through figures, and the area below it. Empty for less than two points."""

    line: str
    area: str


def bars(figures: Sequence[float], labels: Sequence[str]) -> Bars:
    """Draw a bar for each figure. One of nothing has no height."""
    top = ceiling(max(figures, default=0))
    room = WIDTH / max(len(figures), 1)
    boxes, rooms = [], []
    for index, (figure, label) in enumerate(zip(figures, labels, strict=True)):
        height = HEIGHT * figure / top
        x, width = number(room * (index + GAP / 2)), number(room * (1 - GAP))
        boxes.append(Box(x, number(HEIGHT - height), width, number(height), label))
        rooms.append(Box(number(room * index), "0", number(room), number(HEIGHT), label))
    return Bars(boxes, rooms, top)


def area(points: Sequence[tuple[float, float]], *, top: float) -> Area:
    """Draw a line through points of a place and a figure, from the first place to the last; `top` is the upper edge."""
    if len(points) < 2:
        return Area("", "")
    start, end = points[0][0], points[-1][0]
    span = (end - start) or 1
    places = [(WIDTH * (at - start) / span, HEIGHT * (1 - figure / top)) for at, figure in points]
    line = "M" + " L".join(f"{number(x)} {number(y)}" for x, y in places)
    return Area(line, f"{line} L{number(WIDTH)} {number(HEIGHT)} L0 {number(HEIGHT)} Z")


def parts(figures: Sequence[float], labels: Sequence[str], names: Sequence[str]) -> list[Box]:
    """Draw one bar of parts, each as wide as its share; parts of nothing are left out."""
    total = sum(figures) or 1
    boxes, x = [], 0.0
    for figure, label, name in zip(figures, labels, names, strict=True):
        width = WIDTH * figure / total
        if figure:
            boxes.append(Box(number(x), "0", number(width), number(HEIGHT), label, name))
        x += width
    return boxes


def ceiling(figure: float, *, unit: float = 10) -> float:
    """Return the round figure at or above one: of which a half is round too. `unit` is 1,024 for bytes."""
    if figure <= 0:
        return 1
    power = 1.0
    while power * unit <= figure:
        power *= unit
    steps = [1, 2, 4, 6, 8, 10] if unit == 10 else [1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400, 600, 800, 1024]
    return next(power * step for step in steps if power * step >= figure)


def number(value: float) -> str:
    """Write a number as short as it can be drawn."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
