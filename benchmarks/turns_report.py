"""The results of `benchmarks.turns` as tables, verdicts and JSON."""

import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.turns_clients import CUTS, Figures
from benchmarks.turns_model import INTERVAL, TOKENS
from benchmarks.turns_products import Chainlit, Threadkeeper

PHASES = ("alone", "at once", "at random times")
SHARE = 0.8  # of Chainlit's time under load
MOST_DIFFERENCE = 0.2  # cores
CYCLES = 2000
MOST_GROWTH = 5.0  # MB added by the second half of the cycles
DURATION = (TOKENS - 1) * INTERVAL
Row = tuple[str, ...]


class Report:
    """All figures of a run by product and round."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.rounds: dict[str, list[Figures]] = {}

    def add(self, product: str, figures: Figures) -> None:
        """Add the figures of a round."""
        self.rounds.setdefault(product, []).append(figures)

    def times(self, product: str, phase: str, which: int) -> list[float]:
        """Return the sorted times of a phase in milliseconds: to the first delta (0) or to the end (1)."""
        return sorted(pair[which] * 1000 for round_ in self.rounds[product] for pair in round_.times[phase])

    def cpu(self, product: str, phase: str, which: int) -> float:
        """Return the processor milliseconds per turn: of the server (0) or of its PostgreSQL (1)."""
        spent = sum(round_.cpu[phase][which] for round_ in self.rounds[product])
        return spent * 1000 / len(self.times(product, phase, 0))

    def others(self, product: str, phase: str) -> float:
        """Return the number of cores that other processes used."""
        return statistics.mean(round_.others[phase] for round_ in self.rounds[product])

    def lost(self, product: str, where: str, which: int) -> list[int]:
        """Return the tokens of each reply that were not streamed (0) or were missing at the end (1)."""
        return [pair[which] for round_ in self.rounds[product] for pair in round_.missing[where]]

    def memory(self, product: str, moment: str) -> float:
        """Return the megabytes at a moment, as the median of the rounds."""
        return statistics.median(round_.memory[moment] for round_ in self.rounds[product] if moment in round_.memory)

    def growth(self, product: str) -> float:
        """Return the megabytes that the second half of the cycles added."""
        memory = self.rounds[product][-1].memory
        return memory["after as many more"] - memory["after a warm-up of cycles"]

    def socket_size(self, product: str) -> float:
        """Return the kilobytes per idle socket."""
        memory = self.rounds[product][-1].memory
        more = memory["with the idle ones"] - memory["before the idle ones"]
        return more * 1024 / int(self.about["amount"]["idle"])

    def idle_cpu(self, product: str) -> float:
        """Return the percentage of a core that idle sockets use."""
        return self.rounds[product][-1].idle_cpu * 100

    def ratio(self, phase: str, which: int, share: float) -> float:
        """Return our time as a share of Chainlit's."""
        ours, theirs = (at(self.times(name, phase, which), share) for name in (Threadkeeper.name, Chainlit.name))
        return ours / theirs

    def ratios(self, phase: str) -> list[float]:
        """Return, by round, our median time to the first delta as a share of Chainlit's."""
        pairs = zip(self.rounds[Threadkeeper.name], self.rounds[Chainlit.name], strict=True)
        return [_median(ours, phase) / _median(theirs, phase) for ours, theirs in pairs]

    # -- as text

    def print(self) -> None:
        """Print the tables and the verdicts."""
        print(self._heading())
        print("\n| | Threadkeeper | Chainlit | ratio |\n|---|---|---|---|")
        for row in [*self._time_rows(), *self._cost_rows(), *self._delivery_rows()]:
            print(f"| {' | '.join(row)} |")
        print("\n| goal | measured | |\n|---|---|---|")
        for goal, measured, held in self.verdicts():
            print(f"| {goal} | {measured} | {held} |")

    def _heading(self) -> str:
        others = [share for rounds in self.rounds.values() for round_ in rounds for share in round_.others.values()]
        first, last = self.about["endpoint"]
        return (
            f"\n{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
            f"Chainlit {self.about['chainlit']}, {len(self.rounds[Chainlit.name])} rounds each, in turn; "
            f"other processes used {statistics.mean(others):.2f} cores.\n"
            f"The model's endpoint, asked directly 100 times at once: first byte {first:.0f} ms (p95), "
            f"end {last:.0f} ms (p95) of {DURATION * 1000:.0f}."
        )

    def _time_rows(self) -> Iterator[Row]:
        for phase in PHASES:
            for which, what in enumerate(("first delta", "end")):
                ours, theirs = (self.times(name, phase, which) for name in (Threadkeeper.name, Chainlit.name))
                ratios = (self.ratio(phase, which, share) for share in (0.5, 0.95))
                yield f"{phase}: {what}", _pair(ours), _pair(theirs), " / ".join(f"{ratio:.2f}" for ratio in ratios)

    def _cost_rows(self) -> Iterator[Row]:
        for phase in PHASES:
            yield self._row(f"{phase}: processor a turn, server, ms", self.cpu, phase, 0)
            yield self._row(f"{phase}: processor a turn, PostgreSQL, ms", self.cpu, phase, 1)
            yield self._row(f"{phase}: cores used by other processes", self.others, phase)
        moments = list(self.rounds[Threadkeeper.name][-1].memory)
        for moment in moments:
            yield self._row(f"memory {moment}, MB", self.memory, moment)
        if "after as many more" in moments:
            yield self._row("added by the second half of the cycles, MB", self.growth)
            yield self._row("an idle socket, kB", self.socket_size)
            yield self._row("processor with the idle sockets, % of a core", self.idle_cpu)

    def _row(self, what: str, figure: Callable[..., float], *about: object) -> Row:
        ours, theirs = figure(Threadkeeper.name, *about), figure(Chainlit.name, *about)
        ratio = f"{ours / theirs:.2f}" if theirs > 0.05 and ours > 0.05 else ""
        return what, _short(ours), _short(theirs), ratio

    def _delivery_rows(self) -> Iterator[Row]:
        for where in CUTS:
            for which, what in enumerate(("not streamed", "missing when all is over")):
                lost = [self.lost(name, where, which) for name in (Threadkeeper.name, Chainlit.name)]
                cells = [f"{statistics.mean(tokens):.1f}, at most {max(tokens)}" for tokens in lost]
                yield f"cut in the {where}: tokens of {TOKENS} {what}", *cells, ""

    def verdicts(self) -> list[tuple[str, str, str]]:
        """Return each goal, the measurement, and whether it was reached.

        There is no verdict if the load of other processes differed between the measurements of the two products.
        """
        verdicts = []
        for phase, most in (("alone", 1.0), ("at once", SHARE), ("at random times", SHARE)):
            ratio = self.ratio(phase, 0, 0.5)
            ours, theirs = (self.cpu(name, phase, 0) for name in (Threadkeeper.name, Chainlit.name))
            rounds = self.ratios(phase)
            measured = (
                f"{ratio:.2f} ({min(rounds):.2f} to {max(rounds):.2f} by round); "
                f"processor of a turn {ours:.1f} ms against {theirs:.1f}"
            )
            unequal = abs(self.others(Threadkeeper.name, phase) - self.others(Chainlit.name, phase)) > MOST_DIFFERENCE
            verdict = "unequal load of other processes: repeat" if unequal else _verdict(ratio <= most)
            verdicts.append((f"first delta {phase}, p50: at most {most:.1f} of Chainlit's", measured, verdict))
        lost = sum(sum(self.lost(Threadkeeper.name, where, which)) for where in CUTS for which in (0, 1))
        verdicts.append(("nothing undelivered after a cut", f"{lost} tokens", _verdict(lost == 0)))
        if self.about["amount"]["cycles"]:
            growth = self.growth(Threadkeeper.name)
            cycles = self.about["amount"]["cycles"]
            goal = f"{cycles:,} more cycles add at most {MOST_GROWTH:.0f} MB"
            verdict = _verdict(growth <= MOST_GROWTH) if cycles >= CYCLES else f"of {CYCLES:,} to be measured"
            verdicts.append((goal, f"{growth:+.1f} MB", verdict))
        return verdicts

    def as_json(self) -> dict[str, Any]:
        """Return everything, including every single figure."""
        rounds = {name: [asdict(round_) for round_ in rounds] for name, rounds in self.rounds.items()}
        verdicts = [{"goal": goal, "measured": measured, "held": held} for goal, measured, held in self.verdicts()]
        return {"about": self.about, "verdicts": verdicts, "rounds": rounds}


def _verdict(held: bool) -> str:
    return "held" if held else "**missed**"


def _median(figures: Figures, phase: str) -> float:
    return at(sorted(first for first, _ in figures.times[phase]), 0.5)


def at(ordered: Sequence[float], share: float) -> float:
    """Return the percentile `share` of sorted figures."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _short(figure: float) -> str:
    return f"{figure:.2f}" if abs(figure) < 1 else f"{figure:.1f}"


def _pair(ordered: Sequence[float]) -> str:
    return f"{at(ordered, 0.5):,.1f} / {at(ordered, 0.95):,.1f}"
