"""Labelled utterances: read the cases, and judge a played turn by its labels (rules: corpus/README.md)."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from chat.assistant.relevance import REFUSAL

FOLDER = Path(__file__).parent / "corpus"
FIELDS = ("title", "description", "due_date", "due_time", "priority")
DEFAULTS: Mapping[str, object] = {"description": None, "due_date": None, "due_time": None, "priority": "normal"}

Row = Mapping[str, object]
Table = Mapping[int, Row]

_ESCAPED = re.compile(r"\\([\\`*_\[\]<>|~#])")
_LIST_LINE = re.compile(r"\s*(?:[-*]|\d+\.)\s")
_ARTICLE = re.compile(r"^(?:(?:to|a|an|the|my)\s+)+")


@dataclass(frozen=True)
class Case:
    """A conversation: the tasks before it, and the expected effects of each turn."""

    id: str
    tags: tuple[str, ...]
    tasks: tuple[Row, ...]
    turns: tuple[tuple[str, Mapping[str, object]], ...]


@dataclass
class Verdict:
    """The faults of a turn, and the tasks that it completed, deleted or overwrote by mistake."""

    faults: list[str] = field(default_factory=list)
    destructive: list[str] = field(default_factory=list)


def load(name: str) -> list[Case]:
    """Read the cases of a file of the corpus."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [_case(json.loads(line)) for line in lines if line.strip()]


def _case(raw: Mapping[str, object]) -> Case:
    turns, tasks, tags = raw["turns"], raw.get("tasks") or [], raw.get("tags") or []
    if not isinstance(turns, list) or not isinstance(tasks, list) or not isinstance(tags, list):
        raise TypeError(f"case {raw.get('id')} is not in the form of the README")
    return Case(str(raw["id"]), tuple(tags), tuple(tasks), tuple((turn["say"], turn["expect"]) for turn in turns))


def judge_turn(before: Table, after: Table, reply: str, expect: Mapping[str, object]) -> Verdict:
    """Compare a turn's effects and reply with the expected ones; of alternative labels, the best match counts."""
    verdicts = [_judge(before, after, reply, label) for label in _labels(expect)]
    return min(verdicts, key=lambda verdict: (len(verdict.faults), len(verdict.destructive)))


def _labels(expect: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Expand a label with several acceptable values for a field into labels with one value each."""
    options = [_options(name, value) for name, value in expect.items()]
    for values in product(*options):
        yield dict(zip(expect, values, strict=True))


def _options(name: str, value: object) -> Sequence[object]:
    if isinstance(value, list) and value:
        nested = name in ("creates", "completes", "reopens", "deletes", "lists") and isinstance(value[0], list)
        if nested or (name == "updates" and isinstance(value[0], Mapping)) or name == "kind":
            return value
    return [value]


def _judge(before: Table, after: Table, reply: str, expect: Mapping[str, object]) -> Verdict:
    verdict = Verdict()
    _judge_created(before, after, expect, verdict)
    _judge_deleted(before, after, expect, verdict)
    for number in sorted(set(before) & set(after)):
        _judge_remaining(number, before[number], after[number], expect, verdict)
    _judge_reply(before, after, reply, expect, verdict)
    return verdict


def _judge_created(before: Table, after: Table, expect: Mapping[str, object], verdict: Verdict) -> None:
    expected = _entries(expect.get("creates"))
    created = [after[number] for number in sorted(set(after) - set(before))]
    if len(expected) != len(created):
        verdict.faults.append(
            f"created {[row['title'] for row in created]}, not {[row.get('title') for row in expected]}"
        )
        return
    for row, fields in zip(created, expected, strict=True):
        for name, value in {**DEFAULTS, **fields}.items():
            if not _same(name, row[name], value):
                verdict.faults.append(f"created with {name} {row[name]!r}, not {value!r}")


def _judge_deleted(before: Table, after: Table, expect: Mapping[str, object], verdict: Verdict) -> None:
    expected, deleted = set(_numbers(expect.get("deletes"))), set(before) - set(after)
    if deleted != expected:
        verdict.faults.append(f"deleted {sorted(deleted)}, not {sorted(expected)}")
    verdict.destructive += [f"deleted {number}" for number in sorted(deleted - expected)]


def _judge_remaining(number: int, old: Row, new: Row, expect: Mapping[str, object], verdict: Verdict) -> None:
    completes = number in _numbers(expect.get("completes"))
    expected_done = True if completes else False if number in _numbers(expect.get("reopens")) else old["is_completed"]
    if new["is_completed"] != expected_done:
        verdict.faults.append(f"task {number} is {'' if new['is_completed'] else 'not '}completed")
        if new["is_completed"]:
            verdict.destructive.append(f"completed {number}")
    updates = expect.get("updates")
    expected = updates.get(str(number), {}) if isinstance(updates, Mapping) else {}
    for name in FIELDS:
        if not (_same(name, new[name], expected[name]) if name in expected else new[name] == old[name]):
            verdict.faults.append(f"task {number} has {name} {new[name]!r}, not {expected.get(name, old[name])!r}")
            if name not in expected and old[name] not in (None, "normal"):
                verdict.destructive.append(f"overwrote {name} of {number}")


def _judge_reply(before: Table, after: Table, reply: str, expect: Mapping[str, object], verdict: Verdict) -> None:
    reply_text = _ESCAPED.sub(r"\1", reply)
    for phrase in _strings(expect.get("says")):
        if not any(option.strip().lower() in reply_text.lower() for option in phrase.split("|")):
            verdict.faults.append(f"did not say {phrase!r}")
    if "lists" in expect:
        tasks = {**before, **after}
        listed_numbers = listed(reply_text, tasks)
        # Labels order tasks by number unless the user asked for an order; replies may use the panel's order.
        expected = _numbers(expect["lists"])
        panel_order = (
            sorted(expected, key=lambda number: _panel_position(number, tasks[number]))
            if expected == sorted(expected)
            else expected
        )
        if listed_numbers not in (expected, panel_order):
            verdict.faults.append(f"listed {listed_numbers}, not {expect['lists']}")
    kind = expect.get("kind")
    if not reply.strip() or (kind == "question" and "?" not in reply) or (kind == "refusal" and REFUSAL not in reply):
        verdict.faults.append(f"is no {kind or 'reply'}: {reply!r}")


def _panel_position(number: int, row: Row) -> tuple[object, ...]:
    """Return a task's sort key in the panel; in the cases, completed tasks were completed in the order of numbers."""
    if row["is_completed"]:
        return (True, -number)
    rank = {"high": 0, "normal": 1, "low": 2}[str(row["priority"])]
    return (False, row["due_date"] or "~", row["due_time"] or "~", rank, number)


def listed(reply: str, tasks: Table) -> list[int]:
    """Return the numbers of the tasks whose titles appear in the lines of a reply, in order."""
    found: list[int] = []
    lines = [line for line in reply.splitlines() if _LIST_LINE.match(line)] or reply.splitlines()
    for line in lines:
        titled = [number for number, row in tasks.items() if str(row["title"]).lower() in line.lower()]
        if not titled:
            continue
        longest = max(len(str(tasks[number]["title"])) for number in titled)
        best = [number for number in titled if len(str(tasks[number]["title"])) == longest and number not in found]
        # Tasks may share a title; then the number in the line decides.
        best.sort(key=lambda number: f"**{number}**" not in line)
        found += best[:1]
    return found


def _same(name: str, value: object, expected: object) -> bool:
    options: Sequence[object] = expected if isinstance(expected, list) else [expected]
    if name in ("title", "description"):
        return any(_plain(value) == _plain(option) for option in options)
    return value in options


def _plain(value: object) -> str:
    text = re.sub(r"\s+", " ", str(value or "")).strip().lower()
    return _ARTICLE.sub("", text.strip("\"'“”‘’ ").removesuffix(".").strip("\"'“”‘’ "))


def _entries(value: object) -> list[Row]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _numbers(value: object) -> list[int]:
    return [entry for entry in value if isinstance(entry, int)] if isinstance(value, list) else []


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (str(entry) for entry in value)
