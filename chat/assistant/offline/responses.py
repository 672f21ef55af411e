"""Answer questions: lists, single tasks, small talk."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from chat.assistant.offline import replies
from chat.assistant.offline.budget import TooManyTasks
from chat.assistant.offline.choosing import choose, in_span
from chat.assistant.offline.context import tasks_of
from chat.assistant.offline.dates import Due, resolve_due
from chat.assistant.offline.dialog_state import MAX_TASKS_READ, Call, DialogState, Plan
from chat.assistant.offline.intents import Answer, Change, Inspect, Mention, Prefer, Show, Slot, Span, Talk, Vague
from chat.assistant.offline.matching import find_mentioned, key_words, match_tasks, similar, stem
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import pointer_in
from chat.assistant.offline.tasks import Task
from chat.assistant.offline.verbs import CHORES
from chat.assistant.relevance import REFUSAL, judge, off_topic

_PAGE_SIZE = 50
_MAX_COUNTED = 10
_MAX_WORDS, _MAX_VAGUE_LENGTH, _MAX_SUGGESTED = 3, 200, 3
_TALK = {
    "hello": "Hello! What would you like to do with your tasks today? You can add, show, complete or change them.",
    "thanks": "You're welcome!",
    "bye": "Goodbye! Your list will be here when you come back.",
    "help": replies.HELP,
    "who": (
        "I'm Threadkeeper's built-in assistant. I look after your to-do list: I add, show, complete and change tasks."
    ),
    "how": "I'm fine, thank you. Tell me what you'd like to do with your tasks.",
    "fine": "All right. Tell me when there is something to add or to tick off.",
    "sorry": "No problem at all. Say *undo* if something should be taken back.",
    "keep": "All right, I left everything as it is.",
    "cannot": "Sorry, I can't do that.",
}
_PREDICATE = pattern(
    r"\s+(?:is|are|was|were|isn't|aren't|wasn't|has|have|hasn't|needs?|can|can't|should|doesn't|does|got|will|won't)\b"
)
_KEEP_WORDS = pattern(
    r"^(?:please )?(?:(?:don't|do not|never) \w+|keep|leave)\s+|,.*$|\s+(?:task|one|alone|yet|for now)$"
)
_LOOK_UP = pattern(r"^(?:what|where|who|which)(?:'s| is| are| was| were) (?P<what>(?:my|our) [\w' -]{3,60}?)\s*\?$")
_OR = pattern(r"\s+(?:or|and/or)\s+")
_ASKS = pattern(r"\W*(?:who|what|which|when|where|why|how|is|are|do|does|did|can|could|should|will|would)\b")
_CHORE_STEMS = frozenset(stem(verb) for verb in CHORES)
_OFFER_HELP = "Is there something on your list I can do for you?"
_ASK_FOR = {
    "title": "What should it be called instead?",
    "due": "When should it be due?",
    "priority": "Which priority should it get: low, normal or high?",
    "description": "What should the note say?",
    "anything": "What should I change about it?",
}


def show(state: DialogState, intent: Show) -> Plan[str]:
    """Show the list or the requested part of it."""
    preferred = state.preferences()
    sort = intent.sort or preferred.sort or "panel"
    status = intent.status or preferred.status or "all"
    if intent.more:
        return (yield from _next_page(state))
    narrowed = intent.span is not None or intent.priority is not None or bool(intent.about)
    arguments: dict[str, object] = {
        "status": status,
        "sort": sort,
        "limit": 100 if narrowed else _PAGE_SIZE,
        "offset": 0,
    }
    outcome = (yield [Call("list_tasks", arguments)])[0]
    if not outcome.ok:
        return replies.escape(outcome.detail) or "I couldn't read your list just now."
    tasks, total = list(outcome.tasks), outcome.total
    if narrowed:
        end = min(total, MAX_TASKS_READ) if tasks else 0
        pages = [Call("list_tasks", arguments | {"offset": offset}) for offset in range(len(tasks), end, 100)]
        if pages:
            for page in (yield pages):
                tasks += page.tasks
        tasks = [task for task in tasks if _matches(task, intent, state)]
        total = len(tasks)
    if intent.top:
        tasks = _first_group(tasks, sort)
        total = len(tasks)
    if intent.limit:
        tasks = tasks[: intent.limit]
    kind = replies.kind_text(status, intent.priority)
    reply = _format_list(state, intent, tasks, total, kind)
    if narrowed and outcome.total > MAX_TASKS_READ:
        reply += f"\n\nI looked through the first {MAX_TASKS_READ:,} of {outcome.total:,} tasks only."
    return reply


def _first_group(tasks: list[Task], sort: str) -> list[Task]:
    """Return the first group of a sorted list: the tasks of the first due date, or of the highest priority."""
    if sort == "due":
        return [task for task in tasks if task.due_date and task.due_date == tasks[0].due_date]
    return [task for task in tasks if task.priority == tasks[0].priority]


def _matches(task: Task, intent: Show, state: DialogState) -> bool:
    return (
        (
            intent.span is None
            or (_completed_in(task, intent.span) if intent.finished else in_span(task, intent.span, state))
        )
        and (intent.priority is None or task.priority == intent.priority)
        and (
            not intent.about
            or any(match_tasks(part, [task]).sure for part in _OR.split(intent.about) if part.strip())
            or intent.about.lower() in (task.description or "").lower()
        )
    )


def _completed_in(task: Task, span: Span) -> bool:
    day = task.completed_on
    return day is not None and (span.first is None or span.first <= day) and (span.last is None or day <= span.last)


def _format_list(state: DialogState, intent: Show, tasks: list[Task], total: int, kind: str) -> str:
    about = f" about “{replies.escape(intent.about)}”" if intent.about else ""
    days = replies.span_text(intent.span, state.today)
    days = days.replace("due ", "") if intent.finished else days
    if intent.span and intent.span.overdue:
        days, kind = "", f"overdue {kind.removeprefix('open').strip()}".strip()
    counted = f"You have {replies.task_count(total, kind)}{f' {days}' if days else ''}{about}"
    if not tasks or (intent.count and len(tasks) > _MAX_COUNTED):
        return f"{counted}."
    state.listed = [task.number for task in tasks]
    rest = f"\n\n… and {total - len(tasks)} more. Say *show more* to see them." if total > len(tasks) else ""
    return f"{counted}:\n\n{replies.task_list(tasks, state.today)}{rest}"


def _next_page(state: DialogState) -> Plan[str]:
    """Show the next page of the last list."""
    listed = [
        call for turn in state.earlier_turns for call in turn.calls if call.name == "list_tasks" and call.outcome.ok
    ]
    if not listed or not state.last_listed():
        return (yield from show(state, Show()))
    last = listed[-1]
    offset = int(str(last.arguments.get("offset") or 0)) + len(last.outcome.tasks)
    if offset >= last.outcome.total:
        return "That was the whole list."
    outcome = (yield [Call("list_tasks", dict(last.arguments) | {"offset": offset})])[0]
    tasks = list(outcome.tasks)
    state.listed = [task.number for task in tasks]
    left = outcome.total - offset - len(tasks)
    rest = f"\n\n… and {left} more. Say *show more* to see them." if left > 0 else ""
    return f"Tasks {offset + 1} to {offset + len(tasks)} of {outcome.total}:\n\n{replies.task_list(tasks, state.today)}{rest}"


def inspect(state: DialogState, intent: Inspect, then: str = "") -> Plan[str]:
    """Show one task."""
    choice = yield from choose(state, intent.ref, status="pending")
    if choice.otherwise:
        tasks = list(choice.otherwise)
    elif not choice.numbers:
        if intent.aspect == "exists" and choice.no_match:
            return f"No, there is no task “{replies.escape(intent.ref.phrase)}” on your list."
        if choice.no_match and judge(state.message, ()) != "relevant":
            return REFUSAL
        return choice.problem
    else:
        tasks = tasks_of((yield from state.call_each("get_task", choice.numbers)))
        if not tasks:
            return f"There is no task **{choice.numbers[0]}** on your list. Which one do you mean?"
    state.listed = [task.number for task in tasks]
    reply = "\n\n".join(_format_task(task, intent, state) for task in tasks)
    return f"{reply}\n\n{then}" if then else reply


def _format_task(task: Task, intent: Inspect, state: DialogState) -> str:
    answer = {
        "due": f"It is due {replies.due_text(task.due_date, task.due_time, state.today)}."
        if task.due_date
        else "It has no due date.",
        "priority": f"Its priority is {task.priority}.",
        "status": "It is completed." if task.is_completed else "It is not done yet: still open.",
        "exists": "Yes, it is on your list.",
        "description": f"Note: {replies.escape(task.description)}" if task.description else "It has no note.",
        "all": f"Note: {replies.escape(task.description)}" if task.description else "",
    }[intent.aspect]
    line = replies.task_line(task, state.today)
    return f"{line}\n\n{answer}" if answer else line


def prefer(state: DialogState, intent: Prefer) -> Plan[str]:
    """Confirm a preference, and show the list accordingly."""
    if intent.priority:
        return f"All right: from now on new tasks get {intent.priority} priority unless you say otherwise."
    words = []
    if intent.sort:
        words.append(f"sort your list by {'due date' if intent.sort == 'due' else intent.sort}")
    if intent.status:
        words.append({"pending": "show only open tasks"}.get(intent.status, f"show {intent.status} tasks"))
    listed = yield from show(state, Show(status=intent.status, sort=intent.sort))
    return f"All right: from now on I {' and '.join(words)}. {listed}"


def talk(state: DialogState, intent: Talk) -> Plan[str]:
    """Answer small talk."""
    if intent.kind == "keep" and intent.text and len(intent.text) < _MAX_VAGUE_LENGTH:
        named = yield from _find_named(state, intent.text)
        if len(named) == 1:
            return f"All right, I left {replies.task_name(named[0])} as it is."
    if intent.kind == "name":
        return f"All right, {replies.escape(intent.text)}! What would you like to do with your tasks?"
    return replies.now_text(state.now) if intent.kind == "day" else _TALK.get(intent.kind, _TALK["fine"])


def answer(state: DialogState, intent: Answer) -> str:
    """Answer a yes or no without a pending question."""
    if not intent.yes:
        return _TALK["keep"]
    return "Good. What would you like to do with your tasks?"


_NO_NEED = pattern(r"^(?:i|we) (?:don't|do not|no longer|never) (?:really |actually )?(?:need|want|use)(?: to)?\s+")


def mention(state: DialogState, intent: Mention) -> Plan[str]:
    """Record the mentioned tasks; the reply is empty."""
    state.changed_numbers = []
    if (pointed := pointer_in(intent.text, state.now)) and (
        chosen := (yield from choose(state, pointed, status="all"))
    ).numbers:
        state.listed = list(chosen.numbers)
        return ""
    text = _NO_NEED.sub("", intent.text)
    subject = _PREDICATE.split(text, maxsplit=1)[0] or text
    everything = yield from searchable_tasks(state)
    state.listed = [
        task.number for task in match_tasks(subject, everything).sure or find_mentioned(intent.text, everything)
    ]
    return ""


def searchable_tasks(state: DialogState) -> Plan[list[Task]]:
    """Return all tasks of the user; none if there are too many for a search that is only a guess."""
    try:
        return (yield from state.all_tasks())
    except TooManyTasks:
        return []


def _find_named(state: DialogState, text: str) -> Plan[Sequence[Task]]:
    """Return the tasks named by number, position or title."""
    everything = yield from searchable_tasks(state)
    pointed = pointer_in(text, state.now)
    chosen = (yield from choose(state, pointed, status="all")).numbers if pointed else ()
    return [task for task in everything if task.number in chosen] or find_mentioned(
        _KEEP_WORDS.sub("", text), everything
    )


def find_similar(state: DialogState, text: str) -> Plan[list[Task]]:
    """Return the tasks that are similar to a statement in more than the verb."""
    if text.rstrip().endswith("?") or _ASKS.match(text) or off_topic(text):
        return []
    key = [word for word in key_words(text) if word not in _CHORE_STEMS]
    possible = match_tasks(text, (yield from searchable_tasks(state))).near
    return [task for task in possible if any(similar(word, other) for word in key_words(task.title) for other in key)]


def vague(state: DialogState, intent: Vague) -> Plan[str]:
    """Ask what is meant if the message may be about tasks; decline otherwise."""
    if (question := _LOOK_UP.match(intent.text.strip())) and (reply := (yield from _look_up(state, question["what"]))):
        return reply
    found = (yield from _find_named(state, intent.text)) if len(intent.text) < _MAX_VAGUE_LENGTH else ()
    if 0 < len(found) <= 10:
        return ask_what_to_do(state, found)
    if 0 < len(found := (yield from find_similar(state, intent.text))) <= _MAX_SUGGESTED:
        return ask_what_to_do(state, found)
    if judge(intent.text, ()) == "relevant":
        return not_understood()
    return REFUSAL if off_topic(intent.text) else f"{REFUSAL} {_OFFER_HELP}"


def _look_up(state: DialogState, what: str) -> Plan[str]:
    """Answer "what is my landlord's number?" with the tasks whose title or note best matches these words."""
    wanted = set(key_words(what))
    scored = [
        (len(wanted & set(key_words(f"{task.title} {task.description or ''}"))), task)
        for task in (yield from searchable_tasks(state))
    ]
    best = max((score for score, _ in scored), default=0)
    found = [task for score, task in scored if score == best and 2 * score >= len(wanted)][:_MAX_SUGGESTED]
    if not found:
        return ""
    state.listed = [task.number for task in found]
    lines = [
        replies.task_line(task, state.today)
        + (f" · note: “{replies.escape(task.description)}”" if task.description else "")
        for task in found
    ]
    return "Perhaps it is here:\n\n" + "\n".join(lines)


def ask_what_to_do(state: DialogState, tasks: Sequence[Task]) -> str:
    """Ask what to do with the named tasks."""
    these = "this" if len(tasks) == 1 else "these"
    return f"What would you like to do with {these}?\n\n{replies.task_list(tasks, state.today)}"


def not_understood() -> str:
    """Reply that a message about tasks was not understood."""
    return (
        "I'm not sure what you'd like me to do. Could you say it differently? "
        "For example: *add buy milk*, *show my tasks*, *mark task 2 as done*."
    )


def ask_for_value(slot: Slot, task: Task) -> str:
    """Ask for the missing value of a change."""
    return f"{replies.task_name(task)}: {_ASK_FOR.get(slot, _ASK_FOR['anything'])}"


def new_values(task: Task, intent: Change, state: DialogState) -> dict[str, object]:
    """Return the arguments that change a task as requested; none if nothing changes."""
    values: dict[str, object] = {}
    title = _new_title(task, intent)
    if title and title != task.title:
        values["title"] = (title[:1].upper() + title[1:])[:100]
    if intent.description is not None and intent.description != (task.description or ""):
        # Append to the existing note.
        kept = f"{task.description}\n" if intent.appended and task.description else ""
        values["description"] = f"{kept}{intent.description}"
    if intent.priority and intent.priority != task.priority:
        values["priority"] = intent.priority
    if intent.clear_time:
        # A date without a time clears the time.
        return values | ({"due_date": task.due_date.isoformat()} if task.due_date and task.due_time else {})
    if intent.clear_due:
        if task.due_date:
            values["clear_due"] = True
        return values
    return values | _new_due(task, intent, state)


def has_words(task: Task, words: str) -> bool:
    """Return whether the title of a task contains these words."""
    return pattern(rf"\b{re.escape(words)}\b").search(task.title) is not None


def _new_title(task: Task, intent: Change) -> str | None:
    """Return the new title; "make that oat milk" said of "Buy milk" is "Buy oat milk"."""
    if not intent.title:
        return None
    if intent.old_words and not intent.without_verb and not has_words(task, intent.old_words):
        return None
    if intent.old_words and pattern(rf"\b{re.escape(intent.old_words)}\b").search(task.title):
        return pattern(rf"\b{re.escape(intent.old_words)}\b").sub(lambda _: intent.title or "", task.title)
    verb, _, rest = task.title.partition(" ")
    lacks_verb = (
        intent.without_verb and rest and verb.lower() in CHORES and intent.title.split()[0].lower() not in CHORES
    )
    return f"{verb} {intent.title}" if lacks_verb and len(intent.title.split()) <= _MAX_WORDS else intent.title


def _new_due(task: Task, intent: Change, state: DialogState) -> dict[str, object]:
    values: dict[str, object] = {}
    day = intent.day
    if intent.shift is not None and intent.shift % timedelta(days=1) and task.due_date and task.due_time:
        moved = datetime.combine(task.due_date, task.due_time) + intent.shift
        return {"due_date": moved.date().isoformat(), "due_time": f"{moved:%H:%M}"}
    if intent.shift is not None:
        day = (task.due_date or state.today) + intent.shift
    if day is None and intent.at is not None and task.due_date is None:
        day, _ = resolve_due(Due(None, intent.at, ()), state.now)
    if day is not None and day != task.due_date:
        values["due_date"] = day.isoformat()
    at = intent.at or (task.due_time if "due_date" in values else None)
    if at is not None and (at != task.due_time or "due_date" in values):
        # A date without a time would clear the time.
        values["due_time"] = f"{at:%H:%M}"
    return values
