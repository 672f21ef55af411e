"""The offline model over the real runner, tools, session store and database: every labelled utterance is played."""

import asyncio
import difflib
import json
import os
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
import time_machine

from chat.assistant.offline.understanding import understand
from chat.tests.conftest import StartRunner
from chat.tests.corpus_cases import FOLDER, Case, Verdict, judge_turn, load
from chat.tests.play import converse
from chat.turns.runner import TurnRunner

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))
# Of each file, so that it is 95 % of all together, the unread ones included.
EACH = 0.96
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


async def score(runner: TurnRunner, name: str, *, one_of: int = 1) -> Score:
    """Play the cases of a file, or one of so many, several at a time, and judge them."""
    cases, failed, destructive = load(name)[::one_of], [], 0
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
    played = await converse(
        runner,
        [said for said, _ in case.turns],
        given=[dict(task) for task in case.tasks],
        approves=[n for n, (_, expect) in enumerate(case.turns) if expect.get("deletes")],
    )
    return [
        judge_turn(each.before, each.after, each.reply, expect)
        for each, (_, expect) in zip(played, case.turns, strict=True)
    ]


@pytest.mark.parametrize(
    "one_of", [pytest.param(12, id="a twelfth"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("name", READ)
async def test_it_does_what_people_say_and_never_destroys_on_a_guess(
    start_runner: StartRunner, capsys: pytest.CaptureFixture[str], name: str, one_of: int
) -> None:
    read = await score(await start_runner(), name, one_of=one_of)
    with capsys.disabled():
        print(f"\n{name}: {read} {' '.join(read.failed)}", end="")  # noqa: T201
    assert read.passed / read.cases >= EACH
    assert read.destructive == 0


def test_each_utterance_is_understood_as_before() -> None:
    """What is read in each utterance is stored; `GOLDEN=write` writes it anew, for a change that is meant."""
    path = FOLDER / "understood.jsonl"
    sentences = dict.fromkeys(said for name in READ for case in load(name) for said, _ in case.turns)
    lines = [json.dumps([said, *map(plain, understand(said, NOW))], default=str) for said in sentences]
    if os.environ.get("GOLDEN") == "write":
        path.write_text("".join(f"{line}\n" for line in lines))
    changed = difflib.unified_diff(path.read_text().splitlines(), lines, "stored", "now", lineterm="", n=0)
    assert list(changed) == []


def plain(value: object) -> object:
    """Return a wish as JSON, without what it leaves at the default."""
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if not is_dataclass(value):
        return value
    given = {field.name: getattr(value, field.name) for field in fields(value)}
    defaults = {field.name: field.default for field in fields(value)}
    kept = {name: plain(each) for name, each in given.items() if each != defaults[name]}
    return {"": type(value).__name__, **kept}


@pytest.mark.skipif(not (FOLDER / "blind.jsonl").exists(), reason="there are no unread cases at the moment")
async def test_it_does_what_is_said_in_words_that_nobody_has_read(
    start_runner: StartRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = await score(await start_runner(), "blind.jsonl")
    with capsys.disabled():
        # The cases stay unread: whoever mends the rules sees how many failed, not which.
        print(f"\nblind.jsonl: {blind}")  # noqa: T201
    assert blind.passed / blind.cases >= UNREAD
    assert blind.destructive == 0


def test_the_corpus_is_large_and_its_ids_are_unique() -> None:
    cases = [case for name in READ for case in load(name)]
    assert len(cases) >= 500
    assert len({case.id for case in cases}) == len(cases)
