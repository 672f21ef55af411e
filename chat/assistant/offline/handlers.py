"""Carry out what was understood, one wish after the other, and say what came of it."""

from collections.abc import Sequence
from dataclasses import replace

from chat.assistant.offline import limits, recounting, removing, replies, responses, undoing, unsupported
from chat.assistant.offline.choosing import Choice, choose, not_found, offer
from chat.assistant.offline.context import Outcome
from chat.assistant.offline.dialog_state import Call, DialogState, Work
from chat.assistant.offline.ellipsis import fragment
from chat.assistant.offline.followups import follow_up, waiting_for
from chat.assistant.offline.imperatives import imperative
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Doubt,
    Draft,
    Foreign,
    Fragment,
    Inspect,
    Mention,
    OffTopic,
    Pick,
    Prefer,
    Recall,
    Ref,
    Reopen,
    Show,
    Swap,
    Talk,
    Undo,
    Unsupported,
    Vague,
    Wish,
)
from chat.assistant.offline.matching import key_words, mentioned, same_words, shared
from chat.assistant.offline.matching import match as match_titles
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.tasks import Task
from chat.assistant.relevance import REFUSAL

_MAX_TITLE, _MAX_DESCRIPTION = 100, 1000
_MOST_WORDS = 12
_MOST_IN_ORDER = 12


def carry_out(desk: DialogState) -> Work[str]:
    """Run the whole turn and return the reply."""
    if unable := limits.refusal_of(desk.said):
        return unable
    parts: list[str] = []
    for wish in _together(follow_up(desk)):
        said = yield from _one(desk, wish)
        if said and said not in parts:
            parts.append(said)
    if desk.touched:
        parts += limits.caveats_of(desk.said)
    return "\n\n".join(parts)


def _together(wishes: Sequence[Wish]) -> list[Wish]:
    """Join wishes to add that follow one another, so that they are one step."""
    joined: list[Wish] = []
    for wish in wishes:
        last = joined[-1] if joined else None
        if isinstance(wish, Add) and isinstance(last, Add) and wish.drafts and last.drafts:
            joined[-1] = Add(last.drafts + wish.drafts)
        elif isinstance(wish, Fragment) and isinstance(last, Add) and last.drafts:
            joined[-1] = Add((*last.drafts[:-1], _with_detail(last.drafts[-1], wish)))
        elif isinstance(wish, Add) and wish.drafts and isinstance(last, Fragment) and not last.asking:
            joined[-1] = Add((_with_detail(wish.drafts[0], last), *wish.drafts[1:]))
        elif (
            isinstance(wish, Fragment)
            and not wish.asking
            and isinstance(last, Change)
            and not last.lacks
            and last.title is None
        ):
            joined[-1] = replace(
                last, day=last.day or wish.day, at=last.at or wish.at, priority=last.priority or wish.priority
            )
        elif isinstance(wish, Fragment) and isinstance(last, Change) and last.lacks:
            joined[-1] = replace(last, day=wish.day, at=wish.at, priority=wish.priority, lacks="")
        else:
            joined.append(wish)
    return joined


def _with_detail(draft: Draft, said: Fragment) -> Draft:
    """Return the draft with what a sentence of its own said of it: "Due Friday. Priority: high."."""
    return replace(draft, day=said.day or draft.day, at=said.at or draft.at, priority=said.priority or draft.priority)


def _one(desk: DialogState, wish: Wish) -> Work[str]:
    match wish:
        case Add():
            return (yield from _add(desk, wish))
        case Complete():
            return (yield from _complete(desk, wish))
        case Reopen():
            return (yield from _reopen(desk, wish))
        case Delete():
            return (yield from removing.delete(desk, wish))
        case Change():
            return (yield from _change(desk, wish))
        case Swap():
            return (yield from _swap(desk, wish))
        case Unsupported():
            return unsupported.refusal(wish)
        case Undo():
            return (yield from undoing.undo(desk, wish))
        case Show():
            return (yield from responses.show(desk, wish))
        case Inspect():
            return (yield from responses.inspect(desk, wish))
        case Prefer():
            return (yield from responses.prefer(desk, wish))
        case Pick():
            return (yield from _pick(desk, wish.ref))
        case Vague():
            led = yield from _led_by_title(desk, wish)
            return (yield from _change(desk, led)) if led else (yield from responses.vague(desk, wish))
        case Mention():
            return (yield from responses.mention(desk, wish))
        case Recall():
            return (yield from recounting.recall(desk, wish))
        case Talk():
            return (yield from responses.talk(desk, wish))
        case Answer():
            return responses.answer(desk, wish)
        case Doubt():
            return f"{replies.no_such(wish.words)} When do you mean?"
        case Fragment():
            return "What is that about? Tell me which task you mean, or what to add."
        case Foreign() | OffTopic():
            return REFUSAL


def _add(desk: DialogState, wish: Add) -> Work[str]:
    drafts = [draft for draft in wish.drafts if draft.title]
    if not drafts:
        if wish.usual.doubt:
            return f"{replies.no_such(wish.usual.doubt)} What should the task say, and when is it due?"
        return "Sure. What should the task say?"
    if wish.known and len(drafts) == 1:
        titled = match_titles(drafts[0].title, (yield from responses.looked_through(desk)), literal=True).sure
        there = [task for task in titled if not task.is_completed and _there(task, drafts[0].title)]
        if there:
            return f"{replies.named(there[0])} is on your list already."
    if wish.guessed and (named := (yield from _named_by_guess(desk, drafts[0]))):
        # "Bump the report" may wish for something that no rule knows; a task of that name is there.
        return responses.what_with(desk, named)
    if wish.bare and len(drafts) == 1 and drafts[0].day:
        same = [
            task
            for task in (yield from responses.looked_through(desk))
            if not task.is_completed and not task.due_date and task.title.lower() == drafts[0].title.lower()
        ]
        if len(same) == 1:
            return (
                yield from _change(desk, Change(Ref(numbers=(same[0].number,)), day=drafts[0].day, at=drafts[0].at))
            )
    usual = desk.preferred().priority
    drafts = [replace(draft, priority=usual) if usual and draft.priority == "normal" else draft for draft in drafts]
    calls = [Call("create_task", _arguments(draft)) for draft in drafts]
    # Calls side by side are carried out in any order, and numbers should follow the order in which things were said.
    steps = [[call] for call in calls] if len(calls) <= _MOST_IN_ORDER else [calls]
    outcomes: list[Outcome] = []
    for step in steps:
        outcomes += yield from desk.ask(step)
    ticked = [outcome.task for outcome, draft in zip(outcomes, drafts, strict=True) if draft.done and outcome.task]
    done = (yield from desk.ask([Call("complete_task", {"number": task.number}) for task in ticked])) if ticked else []
    now = {outcome.task.number: outcome.task for outcome in (*outcomes, *done) if outcome.ok and outcome.task}
    added = list(now.values())
    failed = [replies.failure(outcome) for outcome in outcomes if not (outcome.ok and outcome.task)]
    said = []
    if len(added) == 1:
        note = replies.note({"description": added[0].description}, None) if added[0].description else ""
        said.append(f"Added {replies.named(added[0])}{replies.details(added[0], desk.today)}{note}.")
    elif added:
        said.append(f"Added {replies.count(len(added))}:\n\n{replies.lines(added, desk.today)}")
    doubts = [_doubt(draft) for draft in drafts if draft.doubt]
    doubts += [_first_taken(draft) for draft in drafts if draft.first]
    return "\n\n".join(said + failed + doubts)


def _doubt(draft: Draft) -> str:
    what = "a time" if draft.day else "a due date"
    return (
        f"{replies.no_such(draft.doubt)} I added “{replies.safe(draft.title)}” without {what}: when should it be due?"
    )


def _first_taken(draft: Draft) -> str:
    return f"“{replies.safe(draft.title)}” names more than one time, so I took the first."


def _named_by_guess(desk: DialogState, draft: Draft) -> Work[Sequence[Task]]:
    """Return the tasks that what has only the shape of a chore may speak of."""
    thing = draft.title.partition(" ")[2]
    named = mentioned(thing, (yield from desk.everything())) or (yield from responses.hinted(desk, thing))
    return [task for task in named if not task.is_completed]


def _there(task: Task, title: str) -> bool:
    """Return whether a task is what a title says, or does what is to be done about a bare thing: "the rent"."""
    return same_words(task.title, title) or (
        not imperative(title) and set(key_words(title)) <= set(key_words(task.title))
    )


def _arguments(draft: Draft) -> dict[str, object]:
    title, description = draft.title, draft.description
    if len(title) > _MAX_TITLE:
        # Nothing that was said is lost: what a title cannot hold becomes the description.
        description = f"{title}\n{description or ''}".strip()
        title = title[: _MAX_TITLE - 1].rsplit(" ", 1)[0].rstrip(" ,;") + "…"
    return {
        "title": title[:1].upper() + title[1:],
        "description": description[:_MAX_DESCRIPTION] if description else None,
        "due_date": draft.day.isoformat() if draft.day else None,
        "due_time": f"{draft.at:%H:%M}" if draft.at and draft.day else None,
        "priority": draft.priority,
    }


def _complete(desk: DialogState, wish: Complete) -> Work[str]:
    if wish.ref.every and not wish.ref.narrowed:
        return (yield from _all_done(desk))
    choice = yield from choose(desk, wish.ref, among="pending", within=waiting_for(desk))
    if choice.otherwise:
        return _already(choice.otherwise)
    if not choice.numbers:
        return _or_add(desk, choice, wish)
    if wish.ref.pronoun == "them" and not wish.ref.count and len(choice.numbers) > 2:
        tasks = [task for task in (yield from desk.everything()) if not task.is_completed]
        if len(tasks) <= len(choice.numbers):
            return (yield from _all_done(desk))
    if wish.statement and wish.ref.phrase and (partly := (yield from _named_in_part(desk, wish.ref.phrase, choice))):
        return f"That is only a part of it. Shall I mark this as done?\n\n{replies.lines(partly, desk.today)}"
    if wish.unsure:
        known = [task for task in (yield from desk.everything()) if task.number in choice.numbers]
        return f"Shall I mark this as done?\n\n{replies.lines(known, desk.today)}"
    outcomes = yield from desk.ask([Call("complete_task", {"number": number}) for number in choice.numbers])
    done = [replies.named(outcome.task) for outcome in outcomes if outcome.ok and outcome.task]
    said = [f"Done: {replies.joined(done)} ✓"] if done else []
    for number, outcome in zip(choice.numbers, outcomes, strict=True):
        if outcome.error == "already_completed":
            task = next((task for task in (yield from responses.looked_through(desk)) if task.number == number), None)
            said.append(f"{replies.named(task) if task else f'Task **{number}**'} was already completed.")
        elif not outcome.ok:
            said.append(replies.missing(number, outcome))
    return "\n\n".join(said)


def _named_in_part(desk: DialogState, phrase: str, choice: Choice) -> Work[list[Task]]:
    """Return the chosen tasks if there is one that is only in part what the phrase says."""
    chosen = [task for task in (yield from desk.everything()) if task.number in choice.numbers]
    return chosen if any(shared(phrase, task.title) for task in chosen) else []


def _already(tasks: Sequence[Task]) -> str:
    names = replies.joined([replies.named(task) for task in tasks])
    return f"{names} {'is' if len(tasks) == 1 else 'are'} already completed."


def _or_add(desk: DialogState, choice: Choice, wish: Complete) -> str:
    if wish.statement and choice.nothing_like_it:
        unknown = not_found(desk, wish.ref.phrase).rstrip(".")
        return f"Good! {unknown}, so I ticked nothing off. Which one was it?"
    return choice.problem


def _all_done(desk: DialogState) -> Work[str]:
    tasks = [task for task in (yield from desk.everything()) if not task.is_completed]
    if not tasks:
        return "You have no open tasks: everything is done already."
    if len(tasks) == 1:
        return f"Shall I mark this one as done?\n\n{replies.lines(tasks, desk.today)}"
    return (
        f"Are you sure? Shall I mark {replies.every(len(tasks))} of these as done, or which "
        f"ones?\n\n{replies.lines(tasks, desk.today)}"
    )


def _reopen(desk: DialogState, wish: Reopen) -> Work[str]:
    if wish.ref.every and not wish.ref.narrowed:
        return (yield from offer(desk, "Which task should be open again? Tell me its number."))
    choice = yield from choose(desk, wish.ref, among="completed", within=waiting_for(desk), careful=True)
    if choice.otherwise:
        names = replies.joined([replies.named(task) for task in choice.otherwise])
        return f"{names} {'is' if len(choice.otherwise) == 1 else 'are'} still open, so nothing needs to change."
    if not choice.numbers:
        return choice.problem
    known = {task.number: task for task in (yield from desk.everything())}
    open_already = [number for number in choice.numbers if number in known and not known[number].is_completed]
    if open_already:
        return f"{replies.joined([replies.named(known[number]) for number in open_already])} is still open."
    calls = [Call("update_task", {"number": number, "completed": False}) for number in choice.numbers]
    outcomes = yield from desk.ask(calls)
    done = [replies.named(outcome.task) for outcome in outcomes if outcome.ok and outcome.task]
    said = [f"Open again: {replies.joined(done)}."] if done else []
    said += [replies.missing(n, outcome) for n, outcome in zip(choice.numbers, outcomes, strict=True) if not outcome.ok]
    return "\n\n".join(said)


def _change(desk: DialogState, wish: Change) -> Work[str]:
    if wish.ref.every and not wish.ref.narrowed:
        return (yield from offer(desk, "I don't change all tasks at once. Which one do you mean?"))
    choice = yield from choose(desk, wish.ref, among="pending", lenient=True, within=waiting_for(desk))
    numbers = choice.numbers or (tuple(task.number for task in choice.otherwise) if len(choice.otherwise) == 1 else ())
    if not numbers:
        if wish.otherwise and (choice.nothing_like_it or not choice.problem):
            return (yield from _add(desk, Add((wish.otherwise,))))
        return choice.problem or replies.which_one(choice.otherwise, desk.today, "do you mean")
    outcomes = yield from desk.ask([Call("get_task", {"number": number}) for number in numbers])
    missing = [replies.missing(n, outcome) for n, outcome in zip(numbers, outcomes, strict=True) if not outcome.ok]
    tasks = [outcome.task for outcome in outcomes if outcome.ok and outcome.task]
    if wish.lacks and tasks:
        asked = responses.ask_for(wish.lacks, tasks[0])
        return f"{replies.no_such(wish.doubt)} {asked}" if wish.doubt else asked
    if wish.old and not wish.loose and tasks and not any(responses.says(task, wish.old) for task in tasks):
        # Only those words were to change, and they are not there: the title is no guess.
        return responses.ask_for("title", tasks[0])
    wanted = [(task, responses.new_values(task, wish, desk)) for task in tasks]
    calls = [Call("update_task", {"number": task.number} | values) for task, values in wanted if values]
    changed = yield from desk.ask(calls) if calls else _nothing()
    said = [f"{replies.named(task)} is already set that way." for task, values in wanted if not values]
    said += [
        f"Updated {replies.named(outcome.task)}{replies.details(outcome.task, desk.today)}{replies.note(values, task.description)}."
        if outcome.ok and outcome.task
        else replies.failure(outcome)
        for outcome, (task, values) in zip(changed, [each for each in wanted if each[1]], strict=True)
    ]
    return "\n\n".join(said + missing)


def _swap(desk: DialogState, wish: Swap) -> Work[str]:
    numbers: list[int] = []
    for ref in (wish.one, wish.other):
        choice = yield from choose(desk, ref, among="pending", lenient=True)
        if len(choice.numbers) != 1:
            return choice.problem or replies.which_one(choice.otherwise, desk.today, "do you mean")
        numbers += choice.numbers
    outcomes = yield from desk.ask([Call("get_task", {"number": number}) for number in numbers])
    missing = [replies.missing(n, outcome) for n, outcome in zip(numbers, outcomes, strict=True) if not outcome.ok]
    tasks = [outcome.task for outcome in outcomes if outcome.task]
    if missing or len(tasks) != len(numbers):
        return "\n\n".join(missing)
    what = "date" if wish.due else "priority"
    if _due_of(tasks[0]) == _due_of(tasks[1]) if wish.due else tasks[0].priority == tasks[1].priority:
        names = replies.joined([replies.named(task) for task in tasks])
        return f"Nothing changes: {names} have the same {what}."
    calls = [
        Call("update_task", {"number": task.number} | (_due_of(other) if wish.due else {"priority": other.priority}))
        for task, other in zip(tasks, reversed(tasks), strict=True)
    ]
    changed = yield from desk.ask(calls)
    return "\n\n".join(
        f"Updated {replies.named(outcome.task)}{replies.details(outcome.task, desk.today)}."
        if outcome.task
        else replies.failure(outcome)
        for outcome in changed
    )


def _due_of(task: Task) -> dict[str, object]:
    if task.due_date is None:
        return {"clear_due": True}
    return {"due_date": task.due_date.isoformat(), "due_time": f"{task.due_time:%H:%M}" if task.due_time else None}


def _nothing() -> Work[list[Outcome]]:
    yield from ()
    return []


def _led_by_title(desk: DialogState, wish: Vague) -> Work[Change | None]:
    """Read "laundry: low priority", where the first words name a task and the others say what should change."""
    words = wish.text.split()
    if len(words) > _MOST_WORDS or wish.text.endswith("?"):
        return None
    pending = [task for task in (yield from responses.looked_through(desk)) if not task.is_completed]
    for size in range(len(words) - 1, 0, -1):
        found = match_titles(" ".join(words[:size]), pending).sure
        said = fragment(
            pattern(r"^(?:change|set|move|make it|to|for|is)\b\s*").sub("", " ".join(words[size:])), desk.now
        )
        if len(found) == 1 and said:
            return Change(Ref(numbers=(found[0].number,)), day=said.day, at=said.at, priority=said.priority)
    return None


def _pick(desk: DialogState, ref: Ref) -> Work[str]:
    if len(ref.numbers) == 1 or ref.pronoun == "it" or len(ref.places) == 1:
        return (yield from responses.inspect(desk, Inspect(ref), then="What would you like to do with it?"))
    return "What would you like to do with them?"
