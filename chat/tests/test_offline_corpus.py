"""The offline model over the real runner, tools, session store and database: every labelled utterance is played."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import time_machine

from chat.tests.conftest import StartRunner
from chat.tests.corpus_cases import FOLDER, Case, Verdict, judge_turn, load
from chat.tests.play import converse
from chat.turns.runner import TurnRunner

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))
TOGETHER = 0.95
# For utterances that nobody who mends the rules has read; and nothing may be destroyed.
UNREAD = 0.90
AT_ONCE = 10
READ = ("corpus.jsonl", "second.jsonl", "third.jsonl", "fourth.jsonl")


@dataclass(frozen=True)
class Score:
    """How many cases of a file there are, which failed, and what was done that nobody had wished for."""

    cases: int
    # Not shown by a failed assertion, which would tell what the blind file is to keep to itself.
    failed: tuple[str, ...] = field(repr=False)
    destructive: int

    @property
    def passed(self) -> int:
        """How many cases did all that they should."""
        return self.cases - len(self.failed)

    def __str__(self) -> str:
        return f"{self.passed} of {self.cases} ({self.passed / self.cases:.1%}), {self.destructive} destructive"


async def score(runner: TurnRunner, name: str) -> Score:
    """Play every case of a file, several at a time, and judge it."""
    cases, failed, destructive = load(name), [], 0
    for start in range(0, len(cases), AT_ONCE):
        batch = cases[start : start + AT_ONCE]
        # The clock is set anew for each batch, lest it be a minute past ten for the last ones.
        with time_machine.travel(NOW, tick=True):
            played = await asyncio.gather(*(judged(runner, case) for case in batch))
        failed += [
            case.id for case, verdicts in zip(batch, played, strict=True) if any(each.faults for each in verdicts)
        ]
        destructive += sum(len(each.destructive) for verdicts in played for each in verdicts)
    return Score(len(cases), tuple(failed), destructive)


async def judged(runner: TurnRunner, case: Case) -> list[Verdict]:
    """Play one case and judge each of its turns."""
    played = await converse(runner, [said for said, _ in case.turns], given=[dict(task) for task in case.tasks])
    return [
        judge_turn(each.before, each.after, each.reply, expect)
        for each, (_, expect) in zip(played, case.turns, strict=True)
    ]


async def test_it_does_what_people_say_and_never_destroys_on_a_guess(
    start_runner: StartRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = await start_runner()
    read = {name: await score(runner, name) for name in READ}
    blind = await score(runner, "blind.jsonl") if (FOLDER / "blind.jsonl").exists() else None
    with capsys.disabled():
        for name, each in read.items():
            print(f"\n{name}: {each} {' '.join(each.failed)}", end="")  # noqa: T201
        # The cases of the blind file stay unread: whoever mends the rules sees how many failed, not which.
        print(f"\nblind.jsonl: {blind or 'not there'}")  # noqa: T201
    assert sum(each.passed for each in read.values()) / sum(each.cases for each in read.values()) >= TOGETHER
    assert sum(each.destructive for each in read.values()) == 0
    assert blind is None or (blind.passed / blind.cases >= UNREAD and blind.destructive == 0)


def test_the_corpus_is_large_and_its_ids_are_unique() -> None:
    cases = [case for name in READ for case in load(name)]
    assert len(cases) >= 500
    assert len({case.id for case in cases}) == len(cases)
