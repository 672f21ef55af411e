"""The offline model plays every labelled utterance over the real runner, tools, session store and database."""

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
from chat.tests.offline_play import converse
from chat.turns.runner import TurnRunner

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))
# Per file, so that 95 % of all cases pass, those of the blind file included.
REQUIRED_RATE = 0.96
# For the blind file, whose utterances are not read by the developers of the rules; nothing may be destroyed.
BLIND_RATE = 0.90
CONCURRENCY = 10
FILES = ("corpus.jsonl", "second.jsonl", "third.jsonl", "fourth.jsonl")


@dataclass(frozen=True)
class Score:
    """The number of cases of a file, the failed ones, and the number of unwanted destructive changes."""

    cases: int
    # Not shown by a failed assertion, so that the ids of the blind file stay hidden.
    failed: tuple[str, ...] = field(repr=False)
    destructive: int

    @property
    def passed(self) -> int:
        """Return the number of cases without a failure."""
        return self.cases - len(self.failed)

    def __str__(self) -> str:
        return f"{self.passed} of {self.cases} ({self.passed / self.cases:.1%}), {self.destructive} destructive"


async def score(runner: TurnRunner, name: str, *, every: int = 1) -> Score:
    """Play and judge every nth case of a file, several at a time."""
    cases, failed, destructive = load(name)[::every], [], 0
    for start in range(0, len(cases), CONCURRENCY):
        batch = cases[start : start + CONCURRENCY]
        # The clock is reset for each batch, so that the last ones do not start a minute later.
        with time_machine.travel(NOW, tick=True):
            played = await asyncio.gather(*(judge_case(runner, case) for case in batch))
        failed += [
            case.id for case, verdicts in zip(batch, played, strict=True) if any(each.faults for each in verdicts)
        ]
        destructive += sum(len(each.destructive) for verdicts in played for each in verdicts)
    return Score(len(cases), tuple(failed), destructive)


async def judge_case(runner: TurnRunner, case: Case) -> list[Verdict]:
    """Play one case and judge each of its turns."""
    played = await converse(
        runner,
        [text for text, _ in case.turns],
        tasks=[dict(task) for task in case.tasks],
        approved_turns=[n for n, (_, expect) in enumerate(case.turns) if expect.get("deletes")],
    )
    return [
        judge_turn(each.before, each.after, each.reply, expect)
        for each, (_, expect) in zip(played, case.turns, strict=True)
    ]


@pytest.mark.parametrize(
    "every", [pytest.param(12, id="every twelfth"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
@pytest.mark.parametrize("name", FILES)
async def test_labelled_utterances_pass_and_nothing_is_destroyed(
    start_runner: StartRunner, capsys: pytest.CaptureFixture[str], name: str, every: int
) -> None:
    result = await score(await start_runner(), name, every=every)
    with capsys.disabled():
        print(f"\n{name}: {result} {' '.join(result.failed)}", end="")  # noqa: T201
    assert result.passed / result.cases >= REQUIRED_RATE
    assert result.destructive == 0


def test_intents_of_each_utterance_match_the_stored_ones() -> None:
    """`GOLDEN=write` stores the intents of each utterance again, after an intended change."""
    path = FOLDER / "understood.jsonl"
    sentences = dict.fromkeys(text for name in FILES for case in load(name) for text, _ in case.turns)
    lines = [json.dumps([text, *map(plain, understand(text, NOW))], default=str) for text in sentences]
    if os.environ.get("GOLDEN") == "write":
        path.write_text("".join(f"{line}\n" for line in lines))
    changed = difflib.unified_diff(path.read_text().splitlines(), lines, "stored", "now", lineterm="", n=0)
    assert list(changed) == []


def plain(value: object) -> object:
    """Return an intent as JSON, without the fields that have their defaults."""
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


@pytest.mark.long
@pytest.mark.skipif(not (FOLDER / "blind.jsonl").exists(), reason="the blind file is not there")
async def test_blind_utterances_pass_and_nothing_is_destroyed(
    start_runner: StartRunner, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = await score(await start_runner(), "blind.jsonl")
    with capsys.disabled():
        # Only the number of failures is printed, so that the cases stay unread.
        print(f"\nblind.jsonl: {blind}")  # noqa: T201
    assert blind.passed / blind.cases >= BLIND_RATE
    assert blind.destructive == 0


def test_corpus_has_500_cases_with_unique_ids() -> None:
    cases = [case for name in FILES for case in load(name)]
    assert len(cases) >= 500
    assert len({case.id for case in cases}) == len(cases)
