"""What a person can want of their list, as plain values."""

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Literal

Status = Literal["all", "pending", "completed"]
Sort = Literal["number", "due", "priority", "panel"]
Priority = Literal["low", "normal", "high"]
Slot = Literal["", "title", "due", "priority", "description", "anything"]


@dataclass(frozen=True)
class Span:
    """Days from the first to the last; open at either end."""

    first: date | None = None
    last: date | None = None
    overdue: bool = False
    undated: bool = False
    words: str = ""


@dataclass(frozen=True)
class Ref:
    """How a person points at tasks: by number, by place in the last list, by a pronoun, by words, or all of a kind.

    With `literal` a title must have all the words of the phrase; with `around` these may say more than the title.
    """

    numbers: tuple[int, ...] = ()
    places: tuple[int, ...] = ()
    pronoun: Literal["", "it", "them", "other", "newest"] = ""
    every: bool = False
    phrase: str = ""
    status: Status = "all"
    span: Span | None = None
    priority: Priority | None = None
    literal: bool = False
    around: bool = False
    count: int = 0

    @property
    def narrowed(self) -> bool:
        """Whether it names a kind of tasks: those due on a day, those of a priority."""
        return self.span is not None or self.priority is not None

    @property
    def empty(self) -> bool:
        """Whether it points at nothing at all."""
        return self == Ref()


@dataclass(frozen=True)
class Draft:
    """A task that is wished for; `doubt` names a day or an hour that it was to have and that does not exist.

    It is due at the `first` of several times where the person named a choice.
    """

    title: str
    description: str | None = None
    day: date | None = None
    at: time | None = None
    priority: Priority = "normal"
    done: bool = False
    invalid_due: str = ""
    first: bool = False


@dataclass(frozen=True)
class Add:
    """Add these tasks; none means that the person has not said what yet, only perhaps when (`usual`).

    A `bare` one was not announced as a task: "do the laundry on Sunday" may speak of one that there is.
    So may a `known` one: "I still have to do the laundry". A `guessed` one has only the shape of a chore.
    """

    drafts: tuple[Draft, ...] = ()
    defaults: Draft = Draft("")
    unannounced: bool = False
    may_exist: bool = False
    guessed: bool = False


@dataclass(frozen=True)
class Show:
    """Show the list, or a part of it.

    With `top` only the most important, or the next that is due; with `finished` the days are those of completion.
    """

    status: Status | None = None
    sort: Sort | None = None
    span: Span | None = None
    priority: Priority | None = None
    about: str = ""
    count: bool = False
    more: bool = False
    top: bool = False
    limit: int = 0
    finished: bool = False


@dataclass(frozen=True)
class Inspect:
    """Tell about one task."""

    ref: Ref
    aspect: Literal["all", "due", "priority", "status", "description", "exists"] = "all"


@dataclass(frozen=True)
class Complete:
    """Tick tasks off; a statement ("I called Bob") does so only if a task is clearly meant.

    Unsure when what was said may mean something else: "the library is closed".
    """

    ref: Ref
    statement: bool = False
    unsure: bool = False


@dataclass(frozen=True)
class Reopen:
    """Make completed tasks open again."""

    ref: Ref
    statement: bool = False


@dataclass(frozen=True)
class Delete:
    """Delete tasks; unsure when the person said something from which it only follows."""

    ref: Ref
    unsure: bool = False
    otherwise: Draft | None = None


@dataclass(frozen=True)
class Change:
    """Change fields of tasks; `lacks` names the field for which no value was given, or (`doubt`) none that exists.

    With `old` the title takes the place of these words only; a `loose` one ("make it oat milk") leaves out the verb.
    """

    ref: Ref
    title: str | None = None
    description: str | None = None
    appended: bool = False
    old_words: str = ""
    without_verb: bool = False
    day: date | None = None
    at: time | None = None
    shift: timedelta | None = None
    clear_due: bool = False
    clear_time: bool = False
    priority: Priority | None = None
    lacks: Slot = ""
    invalid_due: str = ""
    otherwise: Draft | None = None


@dataclass(frozen=True)
class Swap:
    """Give each of two tasks the priority of the other, or its date with `due`."""

    one: Ref
    other: Ref
    due: bool = False


@dataclass(frozen=True)
class Unsupported:
    """Order something that the assistant cannot do; of which kind."""

    kind: str


@dataclass(frozen=True)
class Undo:
    """Take back the last change; when `sure`, even if it is of many tasks."""

    sure: bool = False


@dataclass(frozen=True)
class Recall:
    """Tell what was said earlier in the conversation; `place` counts from 1, or from -1 for the newest.

    With `gone` it is what was deleted last, with `about` what was said about something.
    """

    place: int = 1
    whole: bool = False
    reply: bool = False
    gone: bool = False
    name: bool = False
    about: str = ""


@dataclass(frozen=True)
class Prefer:
    """Keep to this from now on."""

    sort: Sort | None = None
    status: Status | None = None
    priority: Priority | None = None


@dataclass(frozen=True)
class Talk:
    """Small talk; of what should be kept, and of a name, also the words."""

    kind: Literal[
        "hello", "thanks", "bye", "help", "who", "how", "fine", "sorry", "day", "cannot", "keep", "todo", "name"
    ]
    text: str = ""


@dataclass(frozen=True)
class Answer:
    """A bare yes or no."""

    yes: bool


@dataclass(frozen=True)
class Pick:
    """Point at a task and say nothing else."""

    ref: Ref


@dataclass(frozen=True)
class Fragment:
    """A bare day, hour or priority, said about whatever was spoken of last."""

    day: date | None = None
    at: time | None = None
    priority: Priority | None = None
    span: Span | None = None
    asking: bool = False


@dataclass(frozen=True)
class Foreign:
    """Something about other people's tasks, or an attempt to change who or what the assistant is."""


@dataclass(frozen=True)
class OffTopic:
    """Nothing to do with tasks."""


@dataclass(frozen=True)
class Mention:
    """Name a task about which something is wished in the next clause."""

    text: str


@dataclass(frozen=True)
class Doubt:
    """Name a day or an hour that does not exist."""

    words: str


@dataclass(frozen=True)
class Vague:
    """Words that fit none of the forms."""

    text: str
    more: bool = False


Intent = (
    Add
    | Show
    | Inspect
    | Complete
    | Reopen
    | Delete
    | Change
    | Swap
    | Unsupported
    | Undo
    | Recall
    | Prefer
    | Talk
    | Answer
    | Pick
    | Fragment
    | Foreign
    | OffTopic
    | Doubt
    | Vague
    | Mention
)
