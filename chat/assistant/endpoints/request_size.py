"""The size of a request, kept for the next one."""

from dataclasses import dataclass

LEAST_RATIO, MOST_RATIO = 0.5, 3.0  # reported tokens per estimated one; outside, it counts something else


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was answered: its estimated size, the tokens that the endpoint reports (0: none), its user turns.

    `turns` is None where nothing was left out for its size.
    """

    estimate: int
    tokens: int
    turns: int | None = None

    @property
    def ratio(self) -> float | None:
        """Reported tokens per estimated one; None if nothing is reported."""
        if not self.tokens or not self.estimate:
            return None
        return min(max(self.tokens / self.estimate, LEAST_RATIO), MOST_RATIO)
