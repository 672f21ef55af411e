"""From how a person points at tasks to the tasks meant, or to a question when that is not certain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Literal

from chat.assistant.offline import replies
from chat.assistant.offline.dialog_state import DialogState, Work
from chat.assistant.offline.intents import Ref, Span
from chat.assistant.offline.matching import match, mentioned
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.tasks import Task

Among = Literal["pending", "completed", "all"]
_AND = pattern(r"\s*,\s*(?:and\s+)?|\s+(?:and|&|plus)\s+")
_MOST_OFFERED = 10
_RANK = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True)
class Choice:
    """The tasks chosen, or what to tell the person instead."""

    numbers: tuple[int, ...] = ()
    problem: str = ""
    nothing_like_it: bool = False
    otherwise: tuple[Task, ...] = ()


def choose(
    desk: DialogState,
    ref: Ref,
    *,
    among: Among,
    lenient: bool = False,
    within: Sequence[int] = (),
    careful: bool = False,
) -> Work[Choice]:
    """Find the tasks a person points at.

    Only tasks of the status `among` are meant by words; those of the other status are handed back as `otherwise`.
    With `lenient`, "it" may be the task changed last although a list was shown since. With `careful`, "the first one" is
    one of a list that was shown in the conversation, and not of the panel beside it.
    """
    if ref.numbers:
        return Choice(ref.numbers)
    if ref.places:
        return (yield from _by_place(desk, ref, careful))
    if ref.pronoun:
        return (yield from _by_pronoun(desk, ref, lenient))
    if ref.every or ref.narrowed or ref.status != "all":
        return (yield from _by_kind(desk, ref, among))
    if not ref.phrase:
        return Choice(problem=(yield from offer(desk)))
    return (yield from _by_words(desk, ref, among, within))


def offer(desk: DialogState, lead: str = "Which task do you mean?") -> Work[str]:
    """Ask which task is meant, showing the open ones."""
    tasks = [task for task in (yield from desk.everything()) if not task.is_completed]
    if not tasks:
        return f"{lead} Your list has no open tasks."
    return f"{lead}\n\n{replies.lines(in_panel_order(tasks)[:_MOST_OFFERED], desk.today)}"


def in_panel_order(tasks: Sequence[Task]) -> list[Task]:
    """Return the open tasks as the panel beside the chat has them."""

    def key(task: Task) -> tuple[date, time, int, int]:
        return (task.due_date or date.max, task.due_time or time.max, _RANK.get(task.priority, 1), task.number)

    return sorted((task for task in tasks if not task.is_completed), key=key)


def _by_place(desk: DialogState, ref: Ref, careful: bool) -> Work[Choice]:
    listed = desk.last_list()
    if not listed:
        if ref.places == (-1,) and desk.last_changed():
            return Choice((desk.last_changed()[-1],))
        if careful:
            return Choice(problem=(yield from offer(desk, "I haven't shown a list yet. Which one do you mean?")))
        listed = [task.number for task in in_panel_order((yield from desk.everything()))]
    if not listed:
        return Choice(problem="Your list has no open tasks.")
    try:
        chosen = [listed[place - 1 if place > 0 else place] for place in ref.places]
    except IndexError:
        return Choice(problem=f"The list has only {len(listed)}. Which one do you mean?")
    return Choice(tuple(dict.fromkeys(chosen)))


def _by_pronoun(desk: DialogState, ref: Ref, lenient: bool) -> Work[Choice]:
    spoken_of = desk.spoken_of()
    if ref.pronoun == "newest":
        newest = (desk.touched or desk.last_created())[-1:]
        return Choice(tuple(newest or [max((task.number for task in (yield from desk.everything())), default=0)]))
    if ref.pronoun == "other":
        there = {task.number for task in (yield from desk.everything())}
        # With no list shown, there is but one other where there are two tasks in all.
        listed, apart = (
            (desk.last_list(), desk.last_changed()) if len(desk.last_list()) > 1 else (sorted(there), spoken_of)
        )
        apart = [*apart, *spoken_of] if len(spoken_of) == 1 else apart
        others = [number for number in listed if number in there and number not in apart]
        return Choice(tuple(others)) if len(others) == 1 else Choice(problem=(yield from offer(desk)))
    if ref.pronoun == "them":
        groups = (spoken_of, desk.last_list(), desk.changed_lately(ref.count) if ref.count else [])
        right = next((group for group in groups if group and len(group) == (ref.count or len(group))), [])
        return Choice(tuple(right)) if right else Choice(problem=(yield from offer(desk, "Which ones do you mean?")))
    if len(spoken_of) == 1:
        return Choice(tuple(spoken_of))
    changed = desk.last_changed()
    if lenient and len(changed) == 1:
        return Choice(tuple(changed))
    seen = {task.number: task for task in (yield from desk.everything())}
    possible = [seen[number] for number in spoken_of if number in seen]
    if possible:
        return Choice(problem=replies.which_one(possible, desk.today, "do you mean"))
    return Choice(problem=(yield from offer(desk)))


def in_span(task: Task, span: Span, desk: DialogState) -> bool:
    """Return whether a task is due in the days given."""
    if span.undated:
        return task.due_date is None
    if task.due_date is None:
        return False
    if span.overdue:
        passed = task.due_date == desk.today and task.due_time is not None and task.due_time < desk.now.time()
        return task.due_date < desk.today or passed
    return (span.first is None or span.first <= task.due_date) and (span.last is None or task.due_date <= span.last)


def _by_kind(desk: DialogState, ref: Ref, among: Among) -> Work[Choice]:
    status = ref.status if ref.status != "all" else among
    tasks = [
        task
        for task in (yield from desk.everything())
        if (status == "all" or task.is_completed == (status == "completed"))
        and (ref.span is None or in_span(task, ref.span, desk))
        and (ref.priority is None or task.priority == ref.priority)
    ]
    if not tasks:
        return Choice(problem="There is no such task on your list. Which one do you mean?")
    if len(tasks) > 1 and not ref.every:
        return Choice(problem=replies.which_one(tasks, desk.today, "do you mean"))
    return Choice(tuple(task.number for task in tasks))


def _by_words(desk: DialogState, ref: Ref, among: Among, within: Sequence[int]) -> Work[Choice]:
    phrase = ref.phrase
    everything = yield from desk.everything()
    right = [task for task in everything if among == "all" or task.is_completed == (among == "completed")]
    offered = [task for task in right if task.number in within]
    for tasks in (offered, right) if offered else (right,):
        found = match(phrase, tasks, literal=ref.literal).sure
        if len(found) == 1:
            return Choice((found[0].number,))
        several = _several(phrase, tasks) if found else []
        if several:
            return Choice(tuple(task.number for task in several))
        if found:
            return Choice(problem=replies.which_one(found[:_MOST_OFFERED], desk.today, "do you mean"))
    several = _several(phrase, right)
    if several:
        return Choice(tuple(task.number for task in several))
    if ref.around and len(named := mentioned(phrase, right)) == 1:
        return Choice((named[0].number,))
    wrong = [task for task in everything if among != "all" and task.is_completed != (among == "completed")]
    other = match(phrase, wrong, literal=ref.literal).sure
    if other:
        return Choice(otherwise=other)
    near = match(phrase, right).near
    quoted = not_found(desk, phrase)
    if near:
        lead = "Did you mean this one?" if len(near) == 1 else "Did you mean one of these?"
        return Choice(
            problem=f"{quoted} {lead}\n\n{replies.lines(near[:_MOST_OFFERED], desk.today)}", nothing_like_it=False
        )
    return Choice(problem=(yield from offer(desk, f"{quoted} Which one do you mean?")), nothing_like_it=True)


def not_found(desk: DialogState, phrase: str) -> str:
    """Say that there is no such task, in the person's words and never in an order of our own."""
    named = (
        f"a task “{replies.safe(phrase)}”" if phrase.lower() in " ".join(desk.said.lower().split()) else "such a task"
    )
    return f"I couldn't find {named}."


def _several(phrase: str, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that "the report and the laundry" names, if each part names exactly one."""
    parts = [part for part in _AND.split(pattern(r"\bboth\s+").sub("", phrase)) if part.strip()]
    if len(parts) < 2:
        return []
    named: dict[int, Task] = {}
    for part in parts:
        sure = match(part, tasks).sure
        if len(sure) != 1:
            return []
        named[sure[0].number] = sure[0]
    return list(named.values())
