"""What a plan works on: the conversation so far, the tasks seen in it, and the tools."""

from collections.abc import Generator, Iterable, Sequence
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
from chat.assistant.offline.words import prepare, tidied

T = TypeVar("T")
PAGE = 100
# Every page that is read is an output that is kept, and read again at each step of the turn.
MOST_READ = 1_000


@dataclass(frozen=True)
class Call:
    """A tool to be called."""

    name: str
    arguments: dict[str, object] = field(default_factory=dict)


Work = Generator[list[Call], list[Outcome], T]


class DialogState:
    """The state of one turn while its plan runs."""

    def __init__(self, instructions: Instructions, turns: Sequence[Turn]) -> None:
        self.instructions = instructions
        self.before: Sequence[Turn] = turns[:-1]
        self.said = tidied(turns[-1].said)
        self.touched: list[int] = []
        self.shown: list[int] = []
        self._all: dict[int, Task] | None = None
        self._too_many: TooManyTasks | None = None

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
            elif outcome.ok and call.name == "undo":
                for kind, task in outcome.undone:
                    self._note(Call("delete_task" if kind == "removed" else "update_task"), task)
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
        """Return all tasks of the person, asking for them once a turn.

        Of a long list these are the open ones, and the newest of the others. Raise TooManyTasks where too many are open.
        """
        if self._too_many is not None:
            raise self._too_many
        if self._all is None:
            first = (yield [self._page("all", 0)])[0]
            if first.total <= MOST_READ:
                tasks = yield from self._rest("all", first)
            else:
                tasks = yield from self._open_and_newest(first.total)
            self._all = {task.number: task for task in tasks}
        return list(self._all.values())

    def as_many_as_may_be(self) -> Work[list[Task]]:
        """Return all tasks of the person or, of a long list, those that come first."""
        if self._all is not None:
            return list(self._all.values())
        return (yield from self._rest("all", (yield [self._page("all", 0)])[0]))

    def _open_and_newest(self, total: int) -> Work[list[Task]]:
        first = (yield [self._page("pending", 0)])[0]
        if first.total > MOST_READ:
            self._too_many = TooManyTasks(first.total)
            raise self._too_many
        tasks = yield from self._rest("pending", first)
        newest = (yield [self._page("completed", max(0, total - first.total - PAGE))])[0]
        return [*tasks, *newest.tasks]

    def _rest(self, status: Status, first: Outcome) -> Work[list[Task]]:
        """Return the tasks of a first page and of those that follow it."""
        tasks = list(first.tasks)
        end = min(first.total, MOST_READ) if tasks else 0
        pages = [self._page(status, offset) for offset in range(len(tasks), end, PAGE)]
        if pages:
            for outcome in (yield pages):
                tasks += outcome.tasks
        return tasks

    @staticmethod
    def _page(status: Status, offset: int) -> Call:
        return Call("list_tasks", {"status": status, "sort": "number", "limit": PAGE, "offset": offset})

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

    def deleted(self) -> set[int]:
        """Return the tasks that were deleted in the conversation and did not come back."""
        gone: set[int] = set()
        for call in (call for turn in self.before for call in turn.calls if call.changed):
            assert call.changed is not None
            (gone.add if call.name == "delete_task" else gone.discard)(call.changed.number)
        return gone

    def _still_there(self, tasks: Iterable[Task]) -> list[int]:
        deleted = self.deleted()
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
            for said in _preferences(turn.said):
                wanted = Prefer(
                    said.sort or wanted.sort, said.status or wanted.status, said.priority or wanted.priority
                )
        return wanted


@lru_cache(maxsize=256)
def _preferences(said: str) -> tuple[Prefer, ...]:
    """Return what a message wishes for from then on."""
    if len(said) > LONGEST or not recalling.may_be_preference(said):
        return ()
    found = (recalling.preference(clause) for clause in split_clauses(prepare(said).text))
    return tuple(preference for preference in found if preference is not None)
