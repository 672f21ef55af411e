"""The intents of a message, as plain values."""

from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from typing import Literal

Status = Literal["all", "pending", "completed"]
Sort = Literal["number", "due", "priority", "panel"]
Priority = Literal["low", "normal", "high"]
Aspect = Literal["all", "due", "priority", "status", "description", "exists"]
TalkKind = Literal[
    "hello", "thanks", "bye", "help", "who", "how", "fine", "sorry", "day", "cannot", "keep", "todo", "name"
]
Slot = Literal["", "title", "due", "priority", "description", "anything"]


@dataclass(frozen=True)
class Span:
    """A range of days, open at either end."""

    first: date | None = None
    last: date | None = None
    overdue: bool = False
    undated: bool = False
    words: str = ""


@dataclass(frozen=True)
class Ref:
    """A reference to tasks: by number, by position in the last list, by pronoun, by words, or by kind.

    With `literal`, a title must have all the words of the phrase; with `around`, the phrase may have more words than
    the title.
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
        """Whether it selects a kind of tasks: by due date or by priority."""
        return self.span is not None or self.priority is not None

    @property
    def empty(self) -> bool:
        """Whether it refers to nothing."""
        return self == Ref()


@dataclass(frozen=True)
class Draft:
    """A task to add; `invalid_due` is a day or a time in the request that does not exist.

    It is due at the `first` of several times if the user named a choice.
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
    """Add these tasks; with none, the user has not named any yet, only perhaps the `defaults` for it.

    An `unannounced` one may refer to an existing task: "do the laundry on Sunday". So may one that `may_exist`: "I
    still have to do the laundry". A `guessed` one has an unknown verb.
    """

    drafts: tuple[Draft, ...] = ()
    defaults: Draft = Draft("")
    unannounced: bool = False
    may_exist: bool = False
    guessed: bool = False

    def with_last(self, **changes: object) -> "Add":
        """Return this intent with fields of its last task changed."""
        return replace(self, drafts=(*self.drafts[:-1], replace(self.drafts[-1], **changes)))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Show:
    """Show the list or a part of it.

    With `top`, show only the most important or the next due task; with `finished`, the span is that of completion.
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
    """Show one task or one of its fields."""

    ref: Ref
    aspect: Aspect = "all"


@dataclass(frozen=True)
class Complete:
    """Complete tasks; a statement ("I called Bob") does so only if it clearly matches a task.

    It is unsure if it may mean something else: "the library is closed".
    """

    ref: Ref
    statement: bool = False
    unsure: bool = False


@dataclass(frozen=True)
class Reopen:
    """Reopen completed tasks."""

    ref: Ref
    statement: bool = False


@dataclass(frozen=True)
class Delete:
    """Delete tasks; unsure if the request only implies it."""

    ref: Ref
    unsure: bool = False
    otherwise: Draft | None = None


@dataclass(frozen=True)
class Change:
    """Change fields of tasks; `lacks` is the field without a value, or with one that does not exist (`invalid_due`).

    With `old_words`, the title replaces only these words; `without_verb` ("make it oat milk"), it lacks the verb.
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
    """Swap the priorities of two tasks, or their due dates with `due`."""

    one: Ref
    other: Ref
    due: bool = False


@dataclass(frozen=True)
class Unsupported:
    """Request something that the assistant cannot do."""

    kind: str


@dataclass(frozen=True)
class Undo:
    """Undo the last change; when `sure`, even if it changed many tasks."""

    sure: bool = False


@dataclass(frozen=True)
class Recall:
    """Repeat an earlier message; `place` counts from 1, or from -1 for the newest.

    With `gone`, show what was deleted last; with `about`, what the user wrote about a topic.
    """

    place: int = 1
    whole: bool = False
    reply: bool = False
    gone: bool = False
    name: bool = False
    about: str = ""


@dataclass(frozen=True)
class Prefer:
    """Set a preference for the rest of the conversation."""

    sort: Sort | None = None
    status: Status | None = None
    priority: Priority | None = None


@dataclass(frozen=True)
class Talk:
    """Small talk; "keep" and "name" have a text."""

    kind: TalkKind
    text: str = ""


@dataclass(frozen=True)
class Answer:
    """A bare yes or no."""

    yes: bool


@dataclass(frozen=True)
class Pick:
    """Refer to a task without a request."""

    ref: Ref


@dataclass(frozen=True)
class Fragment:
    """A bare day, time or priority for the last mentioned task."""

    day: date | None = None
    at: time | None = None
    priority: Priority | None = None
    span: Span | None = None
    asking: bool = False


@dataclass(frozen=True)
class Foreign:
    """A request about other users' tasks, or an attempt to override the instructions."""


@dataclass(frozen=True)
class OffTopic:
    """A message that is not about tasks."""


@dataclass(frozen=True)
class Mention:
    """Name a task that the next clause refers to."""

    text: str


@dataclass(frozen=True)
class InvalidDue:
    """Name a day or a time that does not exist."""

    words: str


@dataclass(frozen=True)
class Vague:
    """Words that no rule matches."""

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
    | InvalidDue
    | Vague
    | Mention
)
