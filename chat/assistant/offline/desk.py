"""What a plan works on: the conversation so far, the tasks seen in it, and the tools."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar

from chat.assistant.offline import recalling
from chat.assistant.offline.clauses import split_clauses
from chat.assistant.offline.context import Instructions, Outcome, Turn
from chat.assistant.offline.tasks import Task
from chat.assistant.offline.wishes import Prefer
from chat.assistant.offline.words import prepare

T = TypeVar("T")

PAGE = 100


@dataclass(frozen=True)
class Call:
    """A tool to be called."""

    name: str
    arguments: dict[str, object] = field(default_factory=dict)


Work = Generator[list[Call], list[Outcome], T]


class Desk:
    """The state of one turn while its plan runs."""

    def __init__(self, instructions: Instructions, turns: Sequence[Turn]) -> None:
        self.instructions = instructions
        self.before: Sequence[Turn] = turns[:-1]
        self.said = turns[-1].said
        self.touched: list[int] = []
        self.shown: list[int] = []
        self._all: dict[int, Task] | None = None

    @property
    def now(self) -> datetime:
        """The moment the turn was accepted."""
        return self.instructions.now

    @property
    def today(self) -> date:
        """The day of the turn."""
        return self.now.date()

    def ask(self, calls: Sequence[Call]) -> Work[list[Outcome]]:
        """Make calls side by side, and keep in mind which tasks they changed."""
        outcomes = yield list(calls)
        for call, outcome in zip(calls, outcomes, strict=True):
            if outcome.ok and outcome.task and call.name not in ("get_task", "list_tasks"):
                self._note(call, outcome.task)
            elif outcome.ok and call.name == "delete_tasks" and self._all is not None:
                self._all = {number: task for number, task in self._all.items() if task not in outcome.tasks}
        return outcomes

    def _note(self, call: Call, task: Task) -> None:
        if call.name != "delete_task":
            self.touched = [number for number in self.touched if number != task.number] + [task.number]
        if self._all is not None:
            self._all[task.number] = task
            if call.name == "delete_task":
                del self._all[task.number]

    def everything(self) -> Work[list[Task]]:
        """Return all tasks of the person, asking for them once a turn."""
        if self._all is None:
            first = (yield [self._page(0)])[0]
            tasks = list(first.tasks)
            rest = [self._page(offset) for offset in range(len(tasks), first.total, PAGE)] if tasks else []
            if rest:
                for outcome in (yield rest):
                    tasks += outcome.tasks
            self._all = {task.number: task for task in tasks}
        return list(self._all.values())

    @staticmethod
    def _page(offset: int) -> Call:
        return Call("list_tasks", {"status": "all", "sort": "number", "limit": PAGE, "offset": offset})

    def last_list(self) -> list[int]:
        """Return the numbers of the tasks shown last, in the order shown."""
        if self.shown:
            return self.shown
        return next((shown for turn in reversed(self.before) if (shown := turn.shown)), [])

    def spoken_of(self) -> list[int]:
        """Return the tasks last spoken of: those that the newest turn with any changed, or else showed."""
        if self.touched or self.shown:
            return self.touched or self.shown
        for turn in reversed(self.before):
            kept = self._still_there(turn.changed)
            if kept:
                return kept
            if turn.shown or turn.named:
                return turn.shown or turn.named
        return []

    def last_changed(self) -> list[int]:
        """Return the tasks changed last, however long ago."""
        if self.touched:
            return self.touched
        return next((kept for turn in reversed(self.before) if (kept := self._still_there(turn.changed))), [])

    def changed_lately(self, count: int) -> list[int]:
        """Return the tasks changed last, as many as wanted, over several turns."""
        numbers = [number for turn in self.before for number in self._still_there(turn.changed)]
        return list(dict.fromkeys(reversed(numbers)))[:count][::-1]

    def last_created(self) -> list[int]:
        """Return the tasks added in the newest turn that added any."""
        for turn in reversed(self.before):
            added = [call.changed.number for call in turn.calls if call.name == "create_task" and call.changed]
            if added:
                return added
        return []

    def _still_there(self, tasks: Iterable[Task]) -> list[int]:
        deleted = {
            call.changed.number
            for turn in self.before
            for call in turn.calls
            if call.name == "delete_task" and call.changed
        }
        return [task.number for task in tasks if task.number not in deleted]

    def seen(self) -> dict[int, Task]:
        """Return the tasks met in the conversation, each as last seen."""
        found: dict[int, Task] = {}
        for turn in self.before:
            for call in turn.calls:
                for task in (*call.outcome.tasks, *((call.outcome.task,) if call.outcome.task else ())):
                    found[task.number] = task
        return found

    def preferred(self) -> Prefer:
        """Return what the person wants from now on, said at any time in the conversation; the newest word counts."""
        wanted = Prefer()
        for turn in self.before:
            for clause in split_clauses(prepare(turn.said).text):
                said = recalling.preference(clause)
                if said is not None:
                    wanted = Prefer(
                        said.sort or wanted.sort, said.status or wanted.status, said.priority or wanted.priority
                    )
        return wanted
