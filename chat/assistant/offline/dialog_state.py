"""The state of a turn: the conversation so far, its tasks, and the tools."""

from collections.abc import Container, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import TypeVar

from chat.assistant.offline import recalling
from chat.assistant.offline.budget import TooManyTasks
from chat.assistant.offline.clauses import split_clauses
from chat.assistant.offline.context import Instructions, Outcome, Turn
from chat.assistant.offline.intents import Prefer, Status
from chat.assistant.offline.tasks import Task
from chat.assistant.offline.understanding import LONGEST
from chat.assistant.offline.words import collapse_runs, normalize

T = TypeVar("T")
PAGE_SIZE = 100
# Every page is stored as an output, and read again at each step of the turn.
MAX_TASKS_READ = 1_000


@dataclass(frozen=True)
class Call:
    """A tool call to make."""

    name: str
    arguments: dict[str, object] = field(default_factory=dict)


Plan = Generator[list[Call], list[Outcome], T]


class DialogState:
    """The state of one turn while its plan runs."""

    def __init__(self, instructions: Instructions, turns: Sequence[Turn]) -> None:
        self.instructions = instructions
        self.earlier_turns: Sequence[Turn] = turns[:-1]
        self.message = collapse_runs(turns[-1].message)
        self.changed_numbers: list[int] = []
        self.listed: list[int] = []
        self._tasks: dict[int, Task] | None = None
        self._too_many: TooManyTasks | None = None

    @property
    def last_turn(self) -> Turn | None:
        """The turn before this one."""
        return self.earlier_turns[-1] if self.earlier_turns else None

    @property
    def now(self) -> datetime:
        """The time at which the turn was accepted."""
        return self.instructions.now

    @property
    def today(self) -> date:
        """The day of the turn."""
        return self.now.date()

    def call_tools(self, calls: Sequence[Call]) -> Plan[list[Outcome]]:
        """Make parallel tool calls, and record the tasks they changed."""
        if not calls:
            return []
        outcomes = yield list(calls)
        for call, outcome in zip(calls, outcomes, strict=True):
            if outcome.ok and outcome.task and call.name not in ("get_task", "list_tasks"):
                self._record(call, outcome.task)
            elif outcome.ok and call.name == "undo":
                for kind, task in outcome.undone:
                    self._record(Call("delete_task" if kind == "removed" else "update_task"), task)
            elif outcome.ok and call.name == "delete_tasks" and self._tasks is not None:
                self._tasks = {number: task for number, task in self._tasks.items() if task not in outcome.tasks}
        return outcomes

    def call_each(self, name: str, numbers: Iterable[int], **arguments: object) -> Plan[list[Outcome]]:
        """Call a tool for each of these tasks."""
        return self.call_tools([Call(name, {"number": number} | arguments) for number in numbers])

    def _record(self, call: Call, task: Task) -> None:
        if call.name != "delete_task":
            self.changed_numbers = [number for number in self.changed_numbers if number != task.number] + [task.number]
        if self._tasks is not None:
            self._tasks[task.number] = task
            if call.name == "delete_task":
                del self._tasks[task.number]

    def all_tasks(self) -> Plan[list[Task]]:
        """Return all tasks of the user, requested once per turn.

        Of a long list, return the pending ones and the newest completed ones. Raise TooManyTasks if too many are
        pending.
        """
        if self._too_many is not None:
            raise self._too_many
        if self._tasks is None:
            first = (yield [self._list_page("all", 0)])[0]
            if first.total <= MAX_TASKS_READ:
                tasks = yield from self._following_pages("all", first)
            else:
                tasks = yield from self._pending_and_newest(first.total)
            self._tasks = {task.number: task for task in tasks}
        return list(self._tasks.values())

    def pending_tasks(self) -> Plan[list[Task]]:
        """Return the tasks that are not completed."""
        return [task for task in (yield from self.all_tasks()) if not task.is_completed]

    def find(self, numbers: Container[int]) -> Plan[list[Task]]:
        """Return the existing tasks with these numbers."""
        return [task for task in (yield from self.all_tasks()) if task.number in numbers]

    def first_tasks(self) -> Plan[list[Task]]:
        """Return all tasks of the user or, of a long list, the first ones."""
        if self._tasks is not None:
            return list(self._tasks.values())
        return (yield from self._following_pages("all", (yield [self._list_page("all", 0)])[0]))

    def _pending_and_newest(self, total: int) -> Plan[list[Task]]:
        first = (yield [self._list_page("pending", 0)])[0]
        if first.total > MAX_TASKS_READ:
            self._too_many = TooManyTasks(first.total)
            raise self._too_many
        tasks = yield from self._following_pages("pending", first)
        newest = (yield [self._list_page("completed", max(0, total - first.total - PAGE_SIZE))])[0]
        return [*tasks, *newest.tasks]

    def _following_pages(self, status: Status, first: Outcome) -> Plan[list[Task]]:
        """Return the tasks of a first page and of the following pages."""
        tasks = list(first.tasks)
        end = min(first.total, MAX_TASKS_READ) if tasks else 0
        pages = [self._list_page(status, offset) for offset in range(len(tasks), end, PAGE_SIZE)]
        if pages:
            for outcome in (yield pages):
                tasks += outcome.tasks
        return tasks

    @staticmethod
    def _list_page(status: Status, offset: int) -> Call:
        return Call("list_tasks", {"status": status, "sort": "number", "limit": PAGE_SIZE, "offset": offset})

    def last_listed(self) -> list[int]:
        """Return the numbers of the tasks listed last, in order."""
        if self.listed:
            return self.listed
        return next((shown for turn in reversed(self.earlier_turns) if (shown := turn.listed)), [])

    def last_mentioned(self) -> list[int]:
        """Return the tasks mentioned last: those that the newest turn changed, or else listed."""
        if self.changed_numbers or self.listed:
            return self.changed_numbers or self.listed
        for turn in reversed(self.earlier_turns):
            numbers = self._not_deleted(turn.changed)
            if numbers:
                return numbers
            if turn.listed or turn.named:
                return turn.listed or turn.named
        return []

    def last_changed(self) -> list[int]:
        """Return the tasks changed last, in any earlier turn."""
        if self.changed_numbers:
            return self.changed_numbers
        return next(
            (numbers for turn in reversed(self.earlier_turns) if (numbers := self._not_deleted(turn.changed))), []
        )

    def recently_changed(self, count: int) -> list[int]:
        """Return this many of the tasks changed last, over several turns."""
        numbers = [number for turn in self.earlier_turns for number in self._not_deleted(turn.changed)]
        return list(dict.fromkeys(reversed(numbers)))[:count][::-1]

    def last_created(self) -> list[int]:
        """Return the tasks added in the newest turn that added any."""
        for turn in reversed(self.earlier_turns):
            added = [call.changed.number for call in turn.calls if call.name == "create_task" and call.changed]
            if added:
                return added
        return []

    def deleted(self) -> set[int]:
        """Return the tasks that were deleted in the conversation and not restored."""
        numbers: set[int] = set()
        for call in (call for turn in self.earlier_turns for call in turn.calls if call.changed):
            assert call.changed is not None
            (numbers.add if call.name == "delete_task" else numbers.discard)(call.changed.number)
        return numbers

    def _not_deleted(self, tasks: Iterable[Task]) -> list[int]:
        deleted = self.deleted()
        return [task.number for task in tasks if task.number not in deleted]

    def known_tasks(self) -> dict[int, Task]:
        """Return the tasks in the conversation's tool outputs, each in its last state."""
        found: dict[int, Task] = {}
        for turn in self.earlier_turns:
            for call in turn.calls:
                for task in (*call.outcome.tasks, *((call.outcome.task,) if call.outcome.task else ())):
                    found[task.number] = task
        return found

    def preferences(self) -> Prefer:
        """Return the user's preferences; the newest in the conversation win."""
        combined = Prefer()
        for turn in self.earlier_turns:
            for preference in _parse_preferences(turn.message):
                combined = Prefer(
                    preference.sort or combined.sort,
                    preference.status or combined.status,
                    preference.priority or combined.priority,
                )
        return combined


@lru_cache(maxsize=256)
def _parse_preferences(message: str) -> tuple[Prefer, ...]:
    """Return the preferences in a message."""
    if len(message) > LONGEST or not recalling.may_be_preference(message):
        return ()
    found = (recalling.parse_preference(clause) for clause in split_clauses(normalize(message).text))
    return tuple(preference for preference in found if preference is not None)
