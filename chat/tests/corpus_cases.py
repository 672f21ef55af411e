"""Labelled utterances: how a case is read, and whether a played turn does what it should (rules: corpus/README.md)."""

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

_SPOKEN = re.compile(r"\\([\\`*_\[\]<>|~#])")
_LIST_LINE = re.compile(r"\s*(?:[-*]|\d+\.)\s")
_ARTICLE = re.compile(r"^(?:(?:to|a|an|the|my)\s+)+")


@dataclass(frozen=True)
class Case:
    """A conversation, the tasks there are before it, and what each turn must bring about."""

    id: str
    tags: tuple[str, ...]
    tasks: tuple[Row, ...]
    turns: tuple[tuple[str, Mapping[str, object]], ...]


@dataclass
class Verdict:
    """What was wrong with a turn, and what it completed, deleted or overwrote that nobody had wished for."""

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
    """Compare what a turn did, and what it said, with what was expected of it; of several labels the kindest counts."""
    verdicts = [_judge(before, after, reply, label) for label in _labels(expect)]
    return min(verdicts, key=lambda verdict: (len(verdict.faults), len(verdict.destructive)))


def _labels(expect: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Take a label with several acceptable values for a field apart into labels with one each."""
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
    _judge_new(before, after, expect, verdict)
    _judge_gone(before, after, expect, verdict)
    for number in sorted(set(before) & set(after)):
        _judge_kept(number, before[number], after[number], expect, verdict)
    _judge_reply(before, after, reply, expect, verdict)
    return verdict


def _judge_new(before: Table, after: Table, expect: Mapping[str, object], verdict: Verdict) -> None:
    wanted = _entries(expect.get("creates"))
    made = [after[number] for number in sorted(set(after) - set(before))]
    if len(wanted) != len(made):
        verdict.faults.append(f"created {[row['title'] for row in made]}, not {[row.get('title') for row in wanted]}")
        return
    for row, want in zip(made, wanted, strict=True):
        for name, value in {**DEFAULTS, **want}.items():
            if not _same(name, row[name], value):
                verdict.faults.append(f"created with {name} {row[name]!r}, not {value!r}")


def _judge_gone(before: Table, after: Table, expect: Mapping[str, object], verdict: Verdict) -> None:
    wanted, gone = set(_numbers(expect.get("deletes"))), set(before) - set(after)
    if gone != wanted:
        verdict.faults.append(f"deleted {sorted(gone)}, not {sorted(wanted)}")
    verdict.destructive += [f"deleted {number}" for number in sorted(gone - wanted)]


def _judge_kept(number: int, was: Row, now: Row, expect: Mapping[str, object], verdict: Verdict) -> None:
    done = number in _numbers(expect.get("completes"))
    wanted_done = True if done else False if number in _numbers(expect.get("reopens")) else was["is_completed"]
    if now["is_completed"] != wanted_done:
        verdict.faults.append(f"task {number} is {'' if now['is_completed'] else 'not '}completed")
        if now["is_completed"]:
            verdict.destructive.append(f"completed {number}")
    updates = expect.get("updates")
    wanted = updates.get(str(number), {}) if isinstance(updates, Mapping) else {}
    for name in FIELDS:
        if not (_same(name, now[name], wanted[name]) if name in wanted else now[name] == was[name]):
            verdict.faults.append(f"task {number} has {name} {now[name]!r}, not {wanted.get(name, was[name])!r}")
            if name not in wanted and was[name] not in (None, "normal"):
                verdict.destructive.append(f"overwrote {name} of {number}")


def _judge_reply(before: Table, after: Table, reply: str, expect: Mapping[str, object], verdict: Verdict) -> None:
    plain = _SPOKEN.sub(r"\1", reply)
    for phrase in _strings(expect.get("says")):
        if not any(option.strip().lower() in plain.lower() for option in phrase.split("|")):
            verdict.faults.append(f"did not say {phrase!r}")
    if "lists" in expect:
        tasks = {**before, **after}
        shown = listed(plain, tasks)
        # Labels have the tasks of a list by number, where no order was asked for; it is shown as in the panel.
        wanted = _numbers(expect["lists"])
        in_panel = (
            sorted(wanted, key=lambda number: _place(number, tasks[number])) if wanted == sorted(wanted) else wanted
        )
        if shown not in (wanted, in_panel):
            verdict.faults.append(f"listed {shown}, not {expect['lists']}")
    kind = expect.get("kind")
    if not reply.strip() or (kind == "question" and "?" not in reply) or (kind == "refusal" and REFUSAL not in reply):
        verdict.faults.append(f"is no {kind or 'reply'}: {reply!r}")


def _place(number: int, row: Row) -> tuple[object, ...]:
    """Return where the panel has a task; of completed ones the cases have those with a higher number done later."""
    if row["is_completed"]:
        return (True, -number)
    rank = {"high": 0, "normal": 1, "low": 2}[str(row["priority"])]
    return (False, row["due_date"] or "~", row["due_time"] or "~", rank, number)


def listed(reply: str, tasks: Table) -> list[int]:
    """Return the numbers of the tasks whose titles the lines of a reply show, in order."""
    found: list[int] = []
    lines = [line for line in reply.splitlines() if _LIST_LINE.match(line)] or reply.splitlines()
    for line in lines:
        titled = [number for number, row in tasks.items() if str(row["title"]).lower() in line.lower()]
        if not titled:
            continue
        longest = max(len(str(tasks[number]["title"])) for number in titled)
        best = [number for number in titled if len(str(tasks[number]["title"])) == longest and number not in found]
        # Tasks may share a title; then the number that stands in the line decides.
        best.sort(key=lambda number: f"**{number}**" not in line)
        found += best[:1]
    return found


def _same(name: str, value: object, wanted: object) -> bool:
    options: Sequence[object] = wanted if isinstance(wanted, list) else [wanted]
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
