"""Find the tasks that a reference means, or the question to ask when that is not certain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time

from chat.assistant.offline import replies
from chat.assistant.offline.dialog_state import DialogState, Plan
from chat.assistant.offline.intents import Ref, Span, Status
from chat.assistant.offline.matching import find_mentioned, match_tasks
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.tasks import Task

_AND = pattern(r"\s*,\s*(?:and\s+)?|\s+(?:and|&|plus)\s+")
_MAX_OFFERED = 10
_RANK = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True)
class Choice:
    """The chosen tasks, or the reply to send instead."""

    numbers: tuple[int, ...] = ()
    problem: str = ""
    no_match: bool = False
    otherwise: tuple[Task, ...] = ()


def choose(
    state: DialogState,
    ref: Ref,
    *,
    status: Status,
    last_changed: bool = False,
    within: Sequence[int] = (),
    listed_only: bool = False,
) -> Plan[Choice]:
    """Find the tasks that a reference means.

    A phrase matches only tasks with this status; matches with the other status are returned as `otherwise`. With
    `last_changed`, "it" may be the last changed task although a list was shown since. With `listed_only`, "the first
    one" is in a list shown in the conversation, not in the panel beside it.
    """
    if ref.numbers:
        return Choice(ref.numbers)
    if ref.places:
        return (yield from _by_position(state, ref, listed_only))
    if ref.pronoun:
        return (yield from _by_pronoun(state, ref, last_changed))
    if ref.every or ref.narrowed or ref.status != "all":
        return (yield from _by_kind(state, ref, status))
    if not ref.phrase:
        return Choice(problem=(yield from ask_which(state)))
    return (yield from _by_words(state, ref, status, within))


def ask_which(state: DialogState, question: str = "Which task do you mean?") -> Plan[str]:
    """Ask which task is meant, and show the pending ones."""
    tasks = yield from state.pending_tasks()
    if not tasks:
        return f"{question} Your list has no open tasks."
    return f"{question}\n\n{replies.task_list(sort_as_panel(tasks)[:_MAX_OFFERED], state.today)}"


def sort_as_panel(tasks: Sequence[Task]) -> list[Task]:
    """Return the pending tasks in the order of the panel beside the chat."""

    def key(task: Task) -> tuple[date, time, int, int]:
        return (task.due_date or date.max, task.due_time or time.max, _RANK.get(task.priority, 1), task.number)

    return sorted((task for task in tasks if not task.is_completed), key=key)


def _by_position(state: DialogState, ref: Ref, listed_only: bool) -> Plan[Choice]:
    listed = state.last_listed()
    if not listed:
        if ref.places == (-1,) and state.last_changed():
            return Choice((state.last_changed()[-1],))
        if listed_only:
            return Choice(problem=(yield from ask_which(state, "I haven't shown a list yet. Which one do you mean?")))
        listed = [task.number for task in sort_as_panel((yield from state.all_tasks()))]
    if not listed:
        return Choice(problem="Your list has no open tasks.")
    try:
        chosen = [listed[place - 1 if place > 0 else place] for place in ref.places]
    except IndexError:
        return Choice(problem=f"The list has only {len(listed)}. Which one do you mean?")
    return Choice(tuple(dict.fromkeys(chosen)))


def _by_pronoun(state: DialogState, ref: Ref, last_changed: bool) -> Plan[Choice]:
    mentioned = state.last_mentioned()
    if ref.pronoun == "newest":
        newest = (state.changed_numbers or state.last_created())[-1:]
        return Choice(tuple(newest or [max((task.number for task in (yield from state.all_tasks())), default=0)]))
    if ref.pronoun == "other":
        existing = {task.number for task in (yield from state.all_tasks())}
        # Without a list, "the other one" is clear only if there are two tasks.
        listed, excluded = (
            (state.last_listed(), state.last_changed())
            if len(state.last_listed()) > 1
            else (sorted(existing), mentioned)
        )
        excluded = [*excluded, *mentioned] if len(mentioned) == 1 else excluded
        others = [number for number in listed if number in existing and number not in excluded]
        return Choice(tuple(others)) if len(others) == 1 else Choice(problem=(yield from ask_which(state)))
    if ref.pronoun == "them":
        groups = (mentioned, state.last_listed(), state.recently_changed(ref.count) if ref.count else [])
        right = next((group for group in groups if group and len(group) == (ref.count or len(group))), [])
        return (
            Choice(tuple(right)) if right else Choice(problem=(yield from ask_which(state, "Which ones do you mean?")))
        )
    if len(mentioned) == 1:
        return Choice(tuple(mentioned))
    changed = state.last_changed()
    if last_changed and len(changed) == 1:
        return Choice(tuple(changed))
    seen = {task.number: task for task in (yield from state.all_tasks())}
    possible = [seen[number] for number in mentioned if number in seen]
    if possible:
        return Choice(problem=replies.which_one(possible, state.today, "do you mean"))
    return Choice(problem=(yield from ask_which(state)))


def in_span(task: Task, span: Span, state: DialogState) -> bool:
    """Return whether a task is due within a span."""
    if span.undated:
        return task.due_date is None
    if task.due_date is None:
        return False
    if span.overdue:
        passed = task.due_date == state.today and task.due_time is not None and task.due_time < state.now.time()
        return task.due_date < state.today or passed
    return (span.first is None or span.first <= task.due_date) and (span.last is None or task.due_date <= span.last)


def _by_kind(state: DialogState, ref: Ref, status: Status) -> Plan[Choice]:
    status = ref.status if ref.status != "all" else status
    tasks = [
        task
        for task in (yield from state.all_tasks())
        if (status == "all" or task.is_completed == (status == "completed"))
        and (ref.span is None or in_span(task, ref.span, state))
        and (ref.priority is None or task.priority == ref.priority)
    ]
    if not tasks:
        return Choice(problem="There is no such task on your list. Which one do you mean?")
    if len(tasks) > 1 and not ref.every:
        return Choice(problem=replies.which_one(tasks, state.today, "do you mean"))
    return Choice(tuple(task.number for task in tasks))


def _by_words(state: DialogState, ref: Ref, status: Status, within: Sequence[int]) -> Plan[Choice]:
    phrase = ref.phrase
    everything = yield from state.all_tasks()
    candidates = [task for task in everything if status == "all" or task.is_completed == (status == "completed")]
    offered = [task for task in candidates if task.number in within]
    for tasks in (offered, candidates) if offered else (candidates,):
        found = match_tasks(phrase, tasks, literal=ref.literal).sure
        if len(found) == 1:
            return Choice((found[0].number,))
        several = _match_each_part(phrase, tasks) if found else []
        if several:
            return Choice(tuple(task.number for task in several))
        if found:
            return Choice(problem=replies.which_one(found[:_MAX_OFFERED], state.today, "do you mean"))
    several = _match_each_part(phrase, candidates)
    if several:
        return Choice(tuple(task.number for task in several))
    if ref.around and len(named := find_mentioned(phrase, candidates)) == 1:
        return Choice((named[0].number,))
    other_candidates = [task for task in everything if status != "all" and task.is_completed != (status == "completed")]
    other = match_tasks(phrase, other_candidates, literal=ref.literal).sure
    if other:
        return Choice(otherwise=other)
    possible = match_tasks(phrase, candidates).near
    not_found_text = not_found(state, phrase)
    if possible:
        suggestion = "Did you mean this one?" if len(possible) == 1 else "Did you mean one of these?"
        return Choice(
            problem=f"{not_found_text} {suggestion}\n\n{replies.task_list(possible[:_MAX_OFFERED], state.today)}",
            no_match=False,
        )
    return Choice(problem=(yield from ask_which(state, f"{not_found_text} Which one do you mean?")), no_match=True)


def not_found(state: DialogState, phrase: str) -> str:
    """Report that there is no such task, in the user's own words only."""
    named = (
        f"a task “{replies.escape(phrase)}”"
        if phrase.lower() in " ".join(state.message.lower().split())
        else "such a task"
    )
    return f"I couldn't find {named}."


def _match_each_part(phrase: str, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks that "the report and the laundry" means, if each part matches exactly one."""
    parts = [part for part in _AND.split(pattern(r"\bboth\s+").sub("", phrase)) if part.strip()]
    if len(parts) < 2:
        return []
    named: dict[int, Task] = {}
    for part in parts:
        sure = match_tasks(part, tasks).sure
        if len(sure) != 1:
            return []
        named[sure[0].number] = sure[0]
    return list(named.values())
