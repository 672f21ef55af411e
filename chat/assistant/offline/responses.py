"""Answer questions: lists, single tasks, what was said before, small talk."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from chat.assistant.offline import replies
from chat.assistant.offline.budget import TooManyTasks
from chat.assistant.offline.choosing import choose, in_span
from chat.assistant.offline.dates import Due, settle
from chat.assistant.offline.dialog_state import MOST_READ, Call, DialogState, Work
from chat.assistant.offline.intents import Answer, Change, Inspect, Mention, Prefer, Show, Slot, Span, Talk, Vague
from chat.assistant.offline.matching import alike, key_words, match, mentioned, stem
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import pointer_in
from chat.assistant.offline.tasks import Task
from chat.assistant.offline.verbs import CHORES
from chat.assistant.relevance import REFUSAL, judge, off_topic

_PAGE = 50
_MOST_COUNTED = 10
_MOST_WORDS, _LONGEST_VAGUE, _FEW = 3, 200, 3
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
    r"\s+(?:is|are|was|were|isn't|aren't|wasn't|has|have|hasn't|needs?|can|can't|should|doesn't|does|got|will"
    r"|won't)\b"
)
_SPARING = pattern(r"^(?:please )?(?:(?:don't|do not|never) \w+|keep|leave)\s+|,.*$|\s+(?:task|one|alone|yet|for now)$")
_LOOK_UP = pattern(r"^(?:what|where|who|which)(?:'s| is| are| was| were) (?P<what>(?:my|our) [\w' -]{3,60}?)\s*\?$")
_OR = pattern(r"\s+(?:or|and/or)\s+")
_ASKS = pattern(r"\W*(?:who|what|which|when|where|why|how|is|are|do|does|did|can|could|should|will|would)\b")
_CHORE_STEMS = frozenset(stem(verb) for verb in CHORES)
_INSTEAD = "Is there something on your list I can do for you?"
_ASK_FOR = {
    "title": "What should it be called instead?",
    "due": "When should it be due?",
    "priority": "Which priority should it get: low, normal or high?",
    "description": "What should the note say?",
    "anything": "What should I change about it?",
}


def show(desk: DialogState, wish: Show) -> Work[str]:
    """Show the list or the part of it that was asked for."""
    preferred = desk.preferred()
    sort = wish.sort or preferred.sort or "panel"
    status = wish.status or preferred.status or "all"
    if wish.more:
        return (yield from _more(desk))
    narrowed = wish.span is not None or wish.priority is not None or bool(wish.about)
    arguments: dict[str, object] = {"status": status, "sort": sort, "limit": 100 if narrowed else _PAGE, "offset": 0}
    outcome = (yield [Call("list_tasks", arguments)])[0]
    if not outcome.ok:
        return replies.safe(outcome.detail) or "I couldn't read your list just now."
    tasks, total = list(outcome.tasks), outcome.total
    if narrowed:
        end = min(total, MOST_READ) if tasks else 0
        pages = [Call("list_tasks", arguments | {"offset": offset}) for offset in range(len(tasks), end, 100)]
        if pages:
            for page in (yield pages):
                tasks += page.tasks
        tasks = [task for task in tasks if _wanted(task, wish, desk)]
        total = len(tasks)
    if wish.top:
        tasks = _foremost(tasks, sort)
        total = len(tasks)
    if wish.limit:
        tasks = tasks[: wish.limit]
    kind = replies.kind_words(status, wish.priority)
    told = _told(desk, wish, tasks, total, kind)
    if narrowed and outcome.total > MOST_READ:
        told += f"\n\nI looked through the first {MOST_READ:,} of {outcome.total:,} tasks only."
    return told


def _foremost(tasks: list[Task], sort: str) -> list[Task]:
    """Return what a sorted list has in front: all of the first day that is due, or of the highest priority."""
    if sort == "due":
        return [task for task in tasks if task.due_date and task.due_date == tasks[0].due_date]
    return [task for task in tasks if task.priority == tasks[0].priority]


def _wanted(task: Task, wish: Show, desk: DialogState) -> bool:
    return (
        (wish.span is None or (_finished_in(task, wish.span) if wish.finished else in_span(task, wish.span, desk)))
        and (wish.priority is None or task.priority == wish.priority)
        and (
            not wish.about
            or any(match(part, [task]).sure for part in _OR.split(wish.about) if part.strip())
            or wish.about.lower() in (task.description or "").lower()
        )
    )


def _finished_in(task: Task, span: Span) -> bool:
    day = task.completed_on
    return day is not None and (span.first is None or span.first <= day) and (span.last is None or day <= span.last)


def _told(desk: DialogState, wish: Show, tasks: list[Task], total: int, kind: str) -> str:
    about = f" about “{replies.safe(wish.about)}”" if wish.about else ""
    days = replies.span_words(wish.span, desk.today)
    days = days.replace("due ", "") if wish.finished else days
    if wish.span and wish.span.overdue:
        days, kind = "", f"overdue {kind.removeprefix('open').strip()}".strip()
    counted = f"You have {replies.count(total, kind)}{f' {days}' if days else ''}{about}"
    if not tasks or (wish.count and len(tasks) > _MOST_COUNTED):
        return f"{counted}."
    desk.shown = [task.number for task in tasks]
    rest = f"\n\n… and {total - len(tasks)} more. Say *show more* to see them." if total > len(tasks) else ""
    return f"{counted}:\n\n{replies.lines(tasks, desk.today)}{rest}"


def _more(desk: DialogState) -> Work[str]:
    """Show the next page of the list shown last."""
    listed = [call for turn in desk.before for call in turn.calls if call.name == "list_tasks" and call.outcome.ok]
    if not listed or not desk.last_list():
        return (yield from show(desk, Show()))
    last = listed[-1]
    offset = int(str(last.arguments.get("offset") or 0)) + len(last.outcome.tasks)
    if offset >= last.outcome.total:
        return "That was the whole list."
    outcome = (yield [Call("list_tasks", dict(last.arguments) | {"offset": offset})])[0]
    tasks = list(outcome.tasks)
    desk.shown = [task.number for task in tasks]
    left = outcome.total - offset - len(tasks)
    rest = f"\n\n… and {left} more. Say *show more* to see them." if left > 0 else ""
    return (
        f"Tasks {offset + 1} to {offset + len(tasks)} of {outcome.total}:\n\n{replies.lines(tasks, desk.today)}{rest}"
    )


def inspect(desk: DialogState, wish: Inspect, then: str = "") -> Work[str]:
    """Tell about one task."""
    choice = yield from choose(desk, wish.ref, among="pending")
    if choice.otherwise:
        tasks = list(choice.otherwise)
    elif not choice.numbers:
        if wish.aspect == "exists" and choice.nothing_like_it:
            return f"No, there is no task “{replies.safe(wish.ref.phrase)}” on your list."
        if choice.nothing_like_it and judge(desk.said, ()) != "relevant":
            return REFUSAL
        return choice.problem
    else:
        outcomes = yield from desk.ask([Call("get_task", {"number": number}) for number in choice.numbers])
        tasks = [outcome.task for outcome in outcomes if outcome.ok and outcome.task]
        if not tasks:
            return f"There is no task **{choice.numbers[0]}** on your list. Which one do you mean?"
    desk.shown = [task.number for task in tasks]
    told = "\n\n".join(_described(task, wish, desk) for task in tasks)
    return f"{told}\n\n{then}" if then else told


def _described(task: Task, wish: Inspect, desk: DialogState) -> str:
    said = {
        "due": f"It is due {replies.when(task.due_date, task.due_time, desk.today)}."
        if task.due_date
        else "It has no due date.",
        "priority": f"Its priority is {task.priority}.",
        "status": "It is completed." if task.is_completed else "It is not done yet: still open.",
        "exists": "Yes, it is on your list.",
        "description": f"Note: {replies.safe(task.description)}" if task.description else "It has no note.",
        "all": f"Note: {replies.safe(task.description)}" if task.description else "",
    }[wish.aspect]
    line = replies.line(task, desk.today)
    return f"{line}\n\n{said}" if said else line


def prefer(desk: DialogState, wish: Prefer) -> Work[str]:
    """Confirm what is wanted from now on, and show the list that way."""
    if wish.priority:
        return f"All right: from now on new tasks get {wish.priority} priority unless you say otherwise."
    words = []
    if wish.sort:
        words.append(f"sort your list by {'due date' if wish.sort == 'due' else wish.sort}")
    if wish.status:
        words.append({"pending": "show only open tasks"}.get(wish.status, f"show {wish.status} tasks"))
    listed = yield from show(desk, Show(status=wish.status, sort=wish.sort))
    return f"All right: from now on I {' and '.join(words)}. {listed}"


def talk(desk: DialogState, wish: Talk) -> Work[str]:
    """Answer small talk."""
    if wish.kind == "keep" and wish.text and len(wish.text) < _LONGEST_VAGUE:
        named = yield from _meant(desk, wish.text)
        if len(named) == 1:
            return f"All right, I left {replies.named(named[0])} as it is."
    if wish.kind == "name":
        return f"All right, {replies.safe(wish.text)}! What would you like to do with your tasks?"
    return replies.today_words(desk.now) if wish.kind == "day" else _TALK.get(wish.kind, _TALK["fine"])


def answer(desk: DialogState, wish: Answer) -> str:
    """Answer a yes or no that nothing was waiting for."""
    if not wish.yes:
        return _TALK["keep"]
    return "Good. What would you like to do with your tasks?"


_NO_NEED = pattern(r"^(?:i|we) (?:don't|do not|no longer|never) (?:really |actually )?(?:need|want|use)(?: to)?\s+")


def mention(desk: DialogState, wish: Mention) -> Work[str]:
    """Keep in mind which tasks were named, and say nothing."""
    desk.touched = []
    if (pointed := pointer_in(wish.text, desk.now)) and (
        chosen := (yield from choose(desk, pointed, among="all"))
    ).numbers:
        desk.shown = list(chosen.numbers)
        return ""
    text = _NO_NEED.sub("", wish.text)
    subject = _PREDICATE.split(text, maxsplit=1)[0] or text
    everything = yield from looked_through(desk)
    desk.shown = [task.number for task in match(subject, everything).sure or mentioned(wish.text, everything)]
    return ""


def looked_through(desk: DialogState) -> Work[list[Task]]:
    """Return all tasks of the person; none where there are too many to look for a name that may not be meant."""
    try:
        return (yield from desk.everything())
    except TooManyTasks:
        return []


def _meant(desk: DialogState, text: str) -> Work[Sequence[Task]]:
    """Return the tasks that words name by number, by place or by title."""
    everything = yield from looked_through(desk)
    pointed = pointer_in(text, desk.now)
    chosen = (yield from choose(desk, pointed, among="all")).numbers if pointed else ()
    return [task for task in everything if task.number in chosen] or mentioned(_SPARING.sub("", text), everything)


def hinted(desk: DialogState, text: str) -> Work[list[Task]]:
    """Return the tasks that a statement comes near to in more than their verb."""
    if text.rstrip().endswith("?") or _ASKS.match(text) or off_topic(text):
        return []
    said = [word for word in key_words(text) if word not in _CHORE_STEMS]
    near = match(text, (yield from looked_through(desk))).near
    return [task for task in near if any(alike(word, other) for word in key_words(task.title) for other in said)]


def vague(desk: DialogState, wish: Vague) -> Work[str]:
    """Ask what is meant if it may concern tasks; decline otherwise."""
    if (asked := _LOOK_UP.match(wish.text.strip())) and (there := (yield from _looked_up(desk, asked["what"]))):
        return there
    found = (yield from _meant(desk, wish.text)) if len(wish.text) < _LONGEST_VAGUE else ()
    if 0 < len(found) <= 10:
        return what_with(desk, found)
    if 0 < len(found := (yield from hinted(desk, wish.text))) <= _FEW:
        return what_with(desk, found)
    if judge(wish.text, ()) == "relevant":
        return not_understood()
    return REFUSAL if off_topic(wish.text) else f"{REFUSAL} {_INSTEAD}"


def _looked_up(desk: DialogState, what: str) -> Work[str]:
    """Answer "what is my landlord's number?" with the tasks whose title or note has most of these words, if any has."""
    wanted = set(key_words(what))
    scored = [
        (len(wanted & set(key_words(f"{task.title} {task.description or ''}"))), task)
        for task in (yield from looked_through(desk))
    ]
    best = max((score for score, _ in scored), default=0)
    found = [task for score, task in scored if score == best and 2 * score >= len(wanted)][:_FEW]
    if not found:
        return ""
    desk.shown = [task.number for task in found]
    lines = [
        replies.line(task, desk.today) + (f" · note: “{replies.safe(task.description)}”" if task.description else "")
        for task in found
    ]
    return "Perhaps it is here:\n\n" + "\n".join(lines)


def what_with(desk: DialogState, tasks: Sequence[Task]) -> str:
    """Ask what should become of tasks that were named."""
    these = "this" if len(tasks) == 1 else "these"
    return f"What would you like to do with {these}?\n\n{replies.lines(tasks, desk.today)}"


def not_understood() -> str:
    """Say that a message about tasks was not understood."""
    return (
        "I'm not sure what you'd like me to do. Could you say it differently? "
        "For example: *add buy milk*, *show my tasks*, *mark task 2 as done*."
    )


def ask_for(slot: Slot, task: Task) -> str:
    """Ask for the value that a change lacks."""
    return f"{replies.named(task)}: {_ASK_FOR.get(slot, _ASK_FOR['anything'])}"


def new_values(task: Task, wish: Change, desk: DialogState) -> dict[str, object]:
    """Return the arguments that change a task as wished; none if it is like that already."""
    values: dict[str, object] = {}
    title = _new_title(task, wish)
    if title and title != task.title:
        values["title"] = (title[:1].upper() + title[1:])[:100]
    if wish.description is not None and wish.description != (task.description or ""):
        # A further note does not wipe out the one there is.
        kept = f"{task.description}\n" if wish.appended and task.description else ""
        values["description"] = f"{kept}{wish.description}"
    if wish.priority and wish.priority != task.priority:
        values["priority"] = wish.priority
    if wish.clear_time:
        # A date alone drops the time of day.
        return values | ({"due_date": task.due_date.isoformat()} if task.due_date and task.due_time else {})
    if wish.clear_due:
        if task.due_date:
            values["clear_due"] = True
        return values
    return values | _new_due(task, wish, desk)


def says(task: Task, words: str) -> bool:
    """Return whether words stand in the title of a task."""
    return pattern(rf"\b{re.escape(words)}\b").search(task.title) is not None


def _new_title(task: Task, wish: Change) -> str | None:
    """Return the new title; "make that oat milk" said of "Buy milk" is "Buy oat milk"."""
    if not wish.title:
        return None
    if wish.old and not wish.loose and not says(task, wish.old):
        return None
    if wish.old and pattern(rf"\b{re.escape(wish.old)}\b").search(task.title):
        return pattern(rf"\b{re.escape(wish.old)}\b").sub(lambda _: wish.title or "", task.title)
    verb, _, rest = task.title.partition(" ")
    lacks_verb = wish.loose and rest and verb.lower() in CHORES and wish.title.split()[0].lower() not in CHORES
    return f"{verb} {wish.title}" if lacks_verb and len(wish.title.split()) <= _MOST_WORDS else wish.title


def _new_due(task: Task, wish: Change, desk: DialogState) -> dict[str, object]:
    values: dict[str, object] = {}
    day = wish.day
    if wish.shift is not None and wish.shift % timedelta(days=1) and task.due_date and task.due_time:
        moved = datetime.combine(task.due_date, task.due_time) + wish.shift
        return {"due_date": moved.date().isoformat(), "due_time": f"{moved:%H:%M}"}
    if wish.shift is not None:
        day = (task.due_date or desk.today) + wish.shift
    if day is None and wish.at is not None and task.due_date is None:
        day, _ = settle(Due(None, wish.at, ()), desk.now)
    if day is not None and day != task.due_date:
        values["due_date"] = day.isoformat()
    at = wish.at or (task.due_time if "due_date" in values else None)
    if at is not None and (at != task.due_time or "due_date" in values):
        # A new date alone would drop the time of day that was agreed.
        values["due_time"] = f"{at:%H:%M}"
    return values
