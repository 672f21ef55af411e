"""Read the items: the turns of the conversation, the tool calls of each, and the tasks listed in the replies."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TypeGuard

from chat.assistant.offline.budget import checkpoint
from chat.assistant.offline.tasks import Task

HISTORY_PRUNED = "Memory: the beginning of this conversation is no longer remembered."
CHANGING_TOOLS = frozenset({"create_task", "complete_task", "update_task", "delete_task"})
_UNDONE_BY = {"removed": "delete_task", "restored": "create_task"}
_NOW = re.compile(r"^Now: (\S+) \(\w+\)\s*$", re.M)
_WEEK = re.compile(r"^Weeks start on (\w+)\.$", re.M)
_EARLIER_CALL = re.compile(r"^- (\w+) (?=\{)", re.M)
_LISTED_NUMBER = re.compile(r"^[ \t]*(?:[-*]|\d{1,9}[.)])[ \t]+(?:\[[ x]\][ \t]+)?\*\*(\d{1,9})\*\*", re.M)
_NUMBER = re.compile(r"\*\*(\d{1,9})\*\*")
_JSON = json.JSONDecoder()


@dataclass(frozen=True)
class Instructions:
    """The parts of the agent's instructions that the offline model needs."""

    now: datetime
    is_pruned: bool = False
    week_start: str = "Monday"
    # The tool calls of an earlier version of the turn.
    earlier_calls: "tuple[FinishedCall, ...]" = ()

    @property
    def removed(self) -> dict[int, Task]:
        """The tasks that an earlier version of the turn deleted, by number."""
        outcomes = [done.outcome for done in self.earlier_calls if done.name in ("delete_task", "delete_tasks")]
        tasks = [task for outcome in outcomes for task in (*outcome.tasks, outcome.task) if task is not None]
        return {task.number: task for task in tasks}

    @classmethod
    def read(cls, text: str) -> "Instructions":
        """Read the time of the turn, whether the history was pruned, and the calls of an earlier version."""
        found = _NOW.search(text)
        now = datetime.fromisoformat(found[1]) if found else datetime.now().astimezone()
        week = _WEEK.search(text)
        week_start = week[1] if week else "Monday"
        return cls(
            now=now, is_pruned=HISTORY_PRUNED in text, week_start=week_start, earlier_calls=tuple(_earlier_calls(text))
        )


def _earlier_calls(text: str) -> "Iterator[FinishedCall]":
    for begun in _EARLIER_CALL.finditer(text):
        try:
            arguments, end = _JSON.raw_decode(text, begun.end())
        except (ValueError, RecursionError):
            continue
        if text.startswith(" -> {", end):
            line_end = text.find("\n", end)
            yield FinishedCall(begun[1], arguments, text[end + len(" -> ") : line_end if line_end >= 0 else len(text)])


@dataclass(frozen=True)
class Outcome:
    """A parsed tool output."""

    ok: bool = False
    task: Task | None = None
    tasks: tuple[Task, ...] = ()
    messages: tuple[str, ...] = ()
    total: int = 0
    # Each undone change as "restored", "removed" or "changed back" with its task, and the reasons for refusals.
    undone: tuple[tuple[str, Task], ...] = ()
    refused: tuple[str, ...] = ()
    error: str = "unreadable"
    detail: str = ""

    @classmethod
    def read(cls, output: str) -> "Outcome":
        """Parse the tools' JSON; any other output is a failure with that text."""
        checkpoint()
        try:
            raw = json.loads(output)
        except (ValueError, RecursionError):
            return cls(detail=output)
        if not isinstance(raw, Mapping):
            return cls(detail=output)
        tasks = tuple(task for entry in raw.get("tasks") or () if (task := Task.read(entry)))
        return cls(
            ok=raw.get("ok") is True,
            task=Task.read(raw.get("task")),
            tasks=tasks,
            messages=tuple(str(entry["text"]) for entry in raw.get("messages") or () if _has_text(entry)),
            total=raw["total"] if isinstance(raw.get("total"), int) else len(tasks),
            undone=tuple(_undone(raw)),
            refused=tuple(str(refusal) for refusal in raw.get("refused") or ()),
            error=str(raw.get("error") or ""),
            detail=str(raw.get("detail") or ""),
        )


@dataclass(frozen=True)
class FinishedCall:
    """A finished tool call. Its output is parsed on demand, because it may contain a long list."""

    name: str
    arguments: Mapping[str, object]
    output: str | Outcome

    @cached_property
    def outcome(self) -> Outcome:
        """The parsed output."""
        return self.output if isinstance(self.output, Outcome) else Outcome.read(self.output)

    @property
    def changed(self) -> Task | None:
        """The task that this call changed, after the change."""
        return self.outcome.task if self.name in CHANGING_TOOLS and self.outcome.ok else None


def tasks_of(outcomes: Iterable[Outcome]) -> list[Task]:
    """Return the tasks of the outcomes that succeeded."""
    return [outcome.task for outcome in outcomes if outcome.ok and outcome.task]


@dataclass
class Turn:
    """A message of the user, the tool calls it caused, and the reply."""

    message: str
    tool_calls: list[FinishedCall] = field(default_factory=list)
    reply: str = ""
    finished: bool = False

    @cached_property
    def calls(self) -> list[FinishedCall]:
        """The calls; in a finished turn, a call that deleted or undid several tasks counts as one call for each."""
        calls: list[FinishedCall] = []
        for call in self.tool_calls:
            if self.finished and call.name == "delete_tasks":
                calls += [_call_on("delete_task", task) for task in call.outcome.tasks]
            elif self.finished and call.name == "undo":
                calls += [_call_on(_UNDONE_BY.get(kind, "update_task"), task) for kind, task in call.outcome.undone]
            else:
                calls.append(call)
        return calls

    @cached_property
    def undecided(self) -> list[int]:
        """The tasks whose deletion the user neither approved nor declined."""
        asked = [call for call in self.tool_calls if self.finished and call.name == "delete_tasks"]
        superseded = [call.arguments.get("numbers") for call in asked if call.outcome.error == "superseded"]
        numbers = superseded[-1] if superseded else []
        return [n for n in numbers if isinstance(n, int)] if isinstance(numbers, list) else []

    @cached_property
    def changed(self) -> list[Task]:
        """The tasks that this turn changed, each once, in their last state."""
        return list({task.number: task for call in self.calls if (task := call.changed)}.values())

    @cached_property
    def listed(self) -> list[int]:
        """The numbers of the tasks listed in the reply, in order."""
        numbers = self.undecided or [int(number) for number in _LISTED_NUMBER.findall(self.reply)]
        if numbers or self.changed:
            return numbers
        listed = [call for call in self.calls if call.name == "list_tasks" and call.outcome.ok]
        # Another model may have replied, with lists in another format.
        in_reply = [task for task in listed[-1].outcome.tasks if task.title in self.reply] if listed else []
        return [task.number for task in in_reply]

    @cached_property
    def named(self) -> list[int]:
        """The one task that a reply without a change is about: "Task 2 was already completed"."""
        numbers = {int(number) for number in _NUMBER.findall(self.reply)}
        failed = any(call.outcome.error == "not_found" for call in self.calls)
        return list(numbers) if len(numbers) == 1 and not failed else []

    @property
    def asked(self) -> bool:
        """Whether the assistant asked the user a question."""
        return bool(self.undecided) or "?" in self.reply


def read_turns(items: str | Sequence[object]) -> list[Turn]:
    """Group the items into turns; the last one is the current turn."""
    if isinstance(items, str):
        return [Turn(message=items)]
    entries = [item for item in items if _is_mapping(item)]
    outputs = {
        str(e.get("call_id")): _text(e.get("output")) for e in entries if e.get("type") == "function_call_output"
    }
    turns: list[Turn] = []
    for entry in entries:
        if entry.get("role") == "user":
            turns.append(Turn(message=_text(entry.get("content"))))
        elif turns and entry.get("type") == "function_call":
            turns[-1].tool_calls.append(_finished_call(entry, outputs.get(str(entry.get("call_id")), "")))
        elif turns and entry.get("role") == "assistant":
            turns[-1].reply += _text(entry.get("content"))
    for turn in turns[:-1]:
        turn.finished = True
    return turns or [Turn(message="")]


def _has_text(entry: object) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("text"), str)


def _call_on(name: str, task: Task) -> FinishedCall:
    return FinishedCall(name, {"number": task.number}, Outcome(ok=True, task=task))


def _undone(raw: Mapping[str, object]) -> Iterator[tuple[str, Task]]:
    given = raw.get("undone")
    for entry in given if isinstance(given, list) else ():
        if isinstance(entry, Mapping) and (task := Task.read(entry.get("task"))):
            yield str(entry.get("kind")), task


def _is_mapping(item: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(item, Mapping)


def _finished_call(entry: Mapping[str, object], output: str) -> FinishedCall:
    try:
        arguments = json.loads(str(entry.get("arguments") or "{}"))
    except (ValueError, RecursionError):
        arguments = {}
    return FinishedCall(str(entry.get("name")), arguments if isinstance(arguments, dict) else {}, output)


def _text(content: object) -> str:
    """Return the text of a message or an output, which is a string or a list of parts."""
    return content if isinstance(content, str) else "".join(_parts(content))


def _parts(content: object) -> Iterator[str]:
    if isinstance(content, Sequence):
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]
