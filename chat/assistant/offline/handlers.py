"""Carry out the intents in order, and build the reply."""

from collections.abc import Sequence
from dataclasses import replace

from chat.assistant.offline import limits, recounting, removing, replies, responses, undoing, unsupported
from chat.assistant.offline.choosing import Choice, ask_which, choose, not_found
from chat.assistant.offline.context import Outcome, tasks_of
from chat.assistant.offline.dialog_state import Call, DialogState, Plan
from chat.assistant.offline.ellipsis import parse_fragment
from chat.assistant.offline.followups import follow_up, offered_numbers
from chat.assistant.offline.imperatives import is_imperative
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Draft,
    Foreign,
    Fragment,
    Inspect,
    Intent,
    InvalidDue,
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
)
from chat.assistant.offline.matching import find_mentioned, key_words, match_tasks, names_only_part, same_words
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.tasks import Task
from chat.assistant.relevance import REFUSAL

_MAX_TITLE, _MAX_DESCRIPTION = 100, 1000
_MAX_WORDS = 12
_MAX_IN_ORDER = 12


def run_turn(state: DialogState) -> Plan[str]:
    """Run the turn and return the reply."""
    if refusal := limits.refusal_of(state.message):
        return refusal
    parts: list[str] = []
    for intent in _merge(follow_up(state)):
        reply = yield from _handle(state, intent)
        if reply and reply not in parts:
            parts.append(reply)
    if state.changed_numbers:
        parts += limits.caveats_of(state.message)
    return "\n\n".join(parts)


def _merge(intents: Sequence[Intent]) -> list[Intent]:
    """Merge adjacent intents to add, so that they are one step."""
    joined: list[Intent] = []
    for intent in intents:
        last = joined[-1] if joined else None
        if isinstance(intent, Add) and isinstance(last, Add) and intent.drafts and last.drafts:
            joined[-1] = Add(last.drafts + intent.drafts)
        elif isinstance(intent, Fragment) and isinstance(last, Add) and last.drafts:
            joined[-1] = Add((*last.drafts[:-1], _with_details(last.drafts[-1], intent)))
        elif isinstance(intent, Add) and intent.drafts and isinstance(last, Fragment) and not last.asking:
            joined[-1] = Add((_with_details(intent.drafts[0], last), *intent.drafts[1:]))
        elif (
            isinstance(intent, Fragment)
            and not intent.asking
            and isinstance(last, Change)
            and not last.lacks
            and last.title is None
        ):
            joined[-1] = replace(
                last, day=last.day or intent.day, at=last.at or intent.at, priority=last.priority or intent.priority
            )
        elif isinstance(intent, Fragment) and isinstance(last, Change) and last.lacks:
            joined[-1] = replace(last, day=intent.day, at=intent.at, priority=intent.priority, lacks="")
        else:
            joined.append(intent)
    return joined


def _with_details(draft: Draft, details: Fragment) -> Draft:
    """Return the draft with the details of the next sentence: "Due Friday. Priority: high."."""
    return replace(
        draft, day=details.day or draft.day, at=details.at or draft.at, priority=details.priority or draft.priority
    )


def _handle(state: DialogState, intent: Intent) -> Plan[str]:
    match intent:
        case Add():
            return (yield from _add(state, intent))
        case Complete():
            return (yield from _complete(state, intent))
        case Reopen():
            return (yield from _reopen(state, intent))
        case Delete():
            return (yield from removing.delete(state, intent))
        case Change():
            return (yield from _change(state, intent))
        case Swap():
            return (yield from _swap(state, intent))
        case Unsupported():
            return unsupported.refusal(intent)
        case Undo():
            return (yield from undoing.undo(state, intent))
        case Show():
            return (yield from responses.show(state, intent))
        case Inspect():
            return (yield from responses.inspect(state, intent))
        case Prefer():
            return (yield from responses.prefer(state, intent))
        case Pick():
            return (yield from _pick(state, intent.ref))
        case Vague():
            change = yield from _change_by_title(state, intent)
            return (yield from _change(state, change)) if change else (yield from responses.vague(state, intent))
        case Mention():
            return (yield from responses.mention(state, intent))
        case Recall():
            return (yield from recounting.recall(state, intent))
        case Talk():
            return (yield from responses.talk(state, intent))
        case Answer():
            return responses.answer(state, intent)
        case InvalidDue():
            return f"{replies.does_not_exist(intent.words)} When do you mean?"
        case Fragment():
            return "What is that about? Tell me which task you mean, or what to add."
        case Foreign() | OffTopic():
            return REFUSAL


def _add(state: DialogState, intent: Add) -> Plan[str]:
    drafts = [draft for draft in intent.drafts if draft.title]
    if not drafts:
        if intent.defaults.invalid_due:
            return (
                f"{replies.does_not_exist(intent.defaults.invalid_due)} What should the task say, and when is it due?"
            )
        return "Sure. What should the task say?"
    if intent.may_exist and len(drafts) == 1:
        titled = match_tasks(drafts[0].title, (yield from responses.searchable_tasks(state)), literal=True).sure
        existing = [task for task in titled if not task.is_completed and _is_same_task(task, drafts[0].title)]
        if existing:
            return f"{replies.task_name(existing[0])} is on your list already."
    if intent.guessed and (named := (yield from _find_guessed(state, drafts[0]))):
        # "Bump the report" may be a request that no rule knows, if there is a task of that name.
        return responses.ask_what_to_do(state, named)
    if intent.unannounced and len(drafts) == 1 and drafts[0].day:
        same = [
            task
            for task in (yield from responses.searchable_tasks(state))
            if not task.is_completed and not task.due_date and task.title.lower() == drafts[0].title.lower()
        ]
        if len(same) == 1:
            return (
                yield from _change(state, Change(Ref(numbers=(same[0].number,)), day=drafts[0].day, at=drafts[0].at))
            )
    default_priority = state.preferences().priority
    if default_priority:
        drafts = [replace(d, priority=default_priority) if d.priority == "normal" else d for d in drafts]
    calls = [Call("create_task", _arguments(draft)) for draft in drafts]
    # Parallel calls run in any order, but numbers should follow the order of the message.
    steps = [[call] for call in calls] if len(calls) <= _MAX_IN_ORDER else [calls]
    outcomes: list[Outcome] = []
    for step in steps:
        outcomes += yield from state.call_tools(step)
    ticked = [outcome.task for outcome, draft in zip(outcomes, drafts, strict=True) if draft.done and outcome.task]
    done = yield from state.call_each("complete_task", (task.number for task in ticked))
    added = list({task.number: task for task in tasks_of((*outcomes, *done))}.values())
    failed = [replies.failed(outcome) for outcome in outcomes if not (outcome.ok and outcome.task)]
    parts = []
    if len(added) == 1:
        note = replies.note_change({"description": added[0].description}, None) if added[0].description else ""
        parts.append(f"Added {replies.task_name(added[0])}{replies.task_details(added[0], state.today)}{note}.")
    elif added:
        parts.append(f"Added {replies.task_count(len(added))}:\n\n{replies.task_list(added, state.today)}")
    questions = [_ask_for_due(draft) for draft in drafts if draft.invalid_due]
    questions += [_report_first_taken(draft) for draft in drafts if draft.first]
    return "\n\n".join(parts + failed + questions)


def _ask_for_due(draft: Draft) -> str:
    what = "a time" if draft.day else "a due date"
    return f"{replies.does_not_exist(draft.invalid_due)} I added “{replies.escape(draft.title)}” without {what}: when should it be due?"


def _report_first_taken(draft: Draft) -> str:
    return f"“{replies.escape(draft.title)}” names more than one time, so I took the first."


def _find_guessed(state: DialogState, draft: Draft) -> Plan[Sequence[Task]]:
    """Return the pending tasks that a guessed draft may mean."""
    thing = draft.title.partition(" ")[2]
    named = find_mentioned(thing, (yield from state.all_tasks())) or (yield from responses.find_similar(state, thing))
    return [task for task in named if not task.is_completed]


def _is_same_task(task: Task, title: str) -> bool:
    """Return whether a task has this title, or is about this bare thing: "the rent"."""
    return same_words(task.title, title) or (
        not is_imperative(title) and set(key_words(title)) <= set(key_words(task.title))
    )


def _arguments(draft: Draft) -> dict[str, object]:
    title, description = draft.title, draft.description
    if len(title) > _MAX_TITLE:
        # Keep all of the text: the rest of a long title becomes the description.
        description = f"{title}\n{description or ''}".strip()
        title = title[: _MAX_TITLE - 1].rsplit(" ", 1)[0].rstrip(" ,;") + "…"
    return {
        "title": title[:1].upper() + title[1:],
        "description": description[:_MAX_DESCRIPTION] if description else None,
        "due_date": draft.day.isoformat() if draft.day else None,
        "due_time": f"{draft.at:%H:%M}" if draft.at and draft.day else None,
        "priority": draft.priority,
    }


def _complete(state: DialogState, intent: Complete) -> Plan[str]:
    if intent.ref.every and not intent.ref.narrowed:
        return (yield from _confirm_all(state))
    choice = yield from choose(state, intent.ref, status="pending", within=offered_numbers(state))
    if choice.otherwise:
        return f"{_names_and_verb(choice.otherwise)} already completed."
    if not choice.numbers:
        return _report_not_found(state, choice, intent)
    several = intent.ref.pronoun == "them" and not intent.ref.count and len(choice.numbers) > 2
    if several and len((yield from state.pending_tasks())) <= len(choice.numbers):
        return (yield from _confirm_all(state))
    phrase = intent.ref.phrase
    if intent.unsure or (intent.statement and phrase):
        chosen = yield from state.find(choice.numbers)
        is_part = intent.statement and phrase and any(names_only_part(phrase, task.title) for task in chosen)
        if is_part or intent.unsure:
            lead = "That is only a part of it. " if is_part else ""
            return f"{lead}Shall I mark this as done?\n\n{replies.task_list(chosen, state.today)}"
    outcomes = yield from state.call_each("complete_task", choice.numbers)
    done = tasks_of(outcomes)
    parts = [f"Done: {replies.task_names(done)} ✓"] if done else []
    for number, outcome in zip(choice.numbers, outcomes, strict=True):
        if outcome.error == "already_completed":
            tasks = yield from responses.searchable_tasks(state)
            task = next((task for task in tasks if task.number == number), None)
            parts.append(f"{replies.task_name(task) if task else f'Task **{number}**'} was already completed.")
        elif not outcome.ok:
            parts.append(replies.missing_task(number, outcome))
    return "\n\n".join(parts)


def _report_not_found(state: DialogState, choice: Choice, intent: Complete) -> str:
    if intent.statement and choice.no_match:
        unknown = not_found(state, intent.ref.phrase).rstrip(".")
        return f"Good! {unknown}, so I ticked nothing off. Which one was it?"
    return choice.problem


def _names_and_verb(tasks: Sequence[Task]) -> str:
    return f"{replies.task_names(tasks)} {'is' if len(tasks) == 1 else 'are'}"


def _confirm_all(state: DialogState) -> Plan[str]:
    tasks = yield from state.pending_tasks()
    if not tasks:
        return "You have no open tasks: everything is done already."
    if len(tasks) == 1:
        return f"Shall I mark this one as done?\n\n{replies.task_list(tasks, state.today)}"
    return (
        f"Are you sure? Shall I mark {replies.all_of(len(tasks))} of these as done, or which "
        f"ones?\n\n{replies.task_list(tasks, state.today)}"
    )


def _reopen(state: DialogState, intent: Reopen) -> Plan[str]:
    if intent.ref.every and not intent.ref.narrowed:
        return (yield from ask_which(state, "Which task should be open again? Tell me its number."))
    choice = yield from choose(state, intent.ref, status="completed", within=offered_numbers(state), listed_only=True)
    if choice.otherwise:
        return f"{_names_and_verb(choice.otherwise)} still open, so nothing needs to change."
    if not choice.numbers:
        return choice.problem
    pending = {task.number: task for task in (yield from state.pending_tasks())}
    if open_already := [pending[number] for number in choice.numbers if number in pending]:
        return f"{replies.task_names(open_already)} is still open."
    outcomes = yield from state.call_each("update_task", choice.numbers, completed=False)
    done = tasks_of(outcomes)
    parts = [f"Open again: {replies.task_names(done)}."] if done else []
    return "\n\n".join(parts + replies.missing_tasks(choice.numbers, outcomes))


def _change(state: DialogState, intent: Change) -> Plan[str]:
    if intent.ref.every and not intent.ref.narrowed:
        return (yield from ask_which(state, "I don't change all tasks at once. Which one do you mean?"))
    choice = yield from choose(state, intent.ref, status="pending", last_changed=True, within=offered_numbers(state))
    numbers = choice.numbers or (tuple(task.number for task in choice.otherwise) if len(choice.otherwise) == 1 else ())
    if not numbers:
        if intent.otherwise and (choice.no_match or not choice.problem):
            return (yield from _add(state, Add((intent.otherwise,))))
        return choice.problem or replies.which_one(choice.otherwise, state.today, "do you mean")
    outcomes = yield from state.call_each("get_task", numbers)
    missing, tasks = replies.missing_tasks(numbers, outcomes), tasks_of(outcomes)
    if intent.lacks and tasks:
        question = responses.ask_for_value(intent.lacks, tasks[0])
        return f"{replies.does_not_exist(intent.invalid_due)} {question}" if intent.invalid_due else question
    exact = intent.old_words if not intent.without_verb else ""
    if exact and tasks and not any(responses.has_words(task, exact) for task in tasks):
        # The title does not contain the words to replace.
        return responses.ask_for_value("title", tasks[0])
    wanted = [(task, responses.new_values(task, intent, state)) for task in tasks]
    calls = [Call("update_task", {"number": task.number} | values) for task, values in wanted if values]
    changed = yield from state.call_tools(calls)
    parts = [f"{replies.task_name(task)} is already set that way." for task, values in wanted if not values]
    parts += [
        _report_updated(state, outcome, replies.note_change(values, task.description))
        for outcome, (task, values) in zip(changed, [each for each in wanted if each[1]], strict=True)
    ]
    return "\n\n".join(parts + missing)


def _swap(state: DialogState, intent: Swap) -> Plan[str]:
    numbers: list[int] = []
    for ref in (intent.one, intent.other):
        choice = yield from choose(state, ref, status="pending", last_changed=True)
        if len(choice.numbers) != 1:
            return choice.problem or replies.which_one(choice.otherwise, state.today, "do you mean")
        numbers += choice.numbers
    outcomes = yield from state.call_each("get_task", numbers)
    missing, tasks = replies.missing_tasks(numbers, outcomes), tasks_of(outcomes)
    if missing or len(tasks) != len(numbers):
        return "\n\n".join(missing)
    what = "date" if intent.due else "priority"
    if _due_of(tasks[0]) == _due_of(tasks[1]) if intent.due else tasks[0].priority == tasks[1].priority:
        return f"Nothing changes: {replies.task_names(tasks)} have the same {what}."
    calls = [
        Call("update_task", {"number": task.number} | (_due_of(other) if intent.due else {"priority": other.priority}))
        for task, other in zip(tasks, reversed(tasks), strict=True)
    ]
    return "\n\n".join(_report_updated(state, outcome) for outcome in (yield from state.call_tools(calls)))


def _report_updated(state: DialogState, outcome: Outcome, note: str = "") -> str:
    if not (outcome.ok and outcome.task):
        return replies.failed(outcome)
    return f"Updated {replies.task_name(outcome.task)}{replies.task_details(outcome.task, state.today)}{note}."


def _due_of(task: Task) -> dict[str, object]:
    if task.due_date is None:
        return {"clear_due": True}
    return {"due_date": task.due_date.isoformat(), "due_time": f"{task.due_time:%H:%M}" if task.due_time else None}


def _change_by_title(state: DialogState, intent: Vague) -> Plan[Change | None]:
    """Parse "laundry: low priority", a title followed by the new values."""
    words = intent.text.split()
    if len(words) > _MAX_WORDS or intent.text.endswith("?"):
        return None
    pending = [task for task in (yield from responses.searchable_tasks(state)) if not task.is_completed]
    for size in range(len(words) - 1, 0, -1):
        found = match_tasks(" ".join(words[:size]), pending).sure
        values = parse_fragment(
            pattern(r"^(?:change|set|move|make it|to|for|is)\b\s*").sub("", " ".join(words[size:])), state.now
        )
        if len(found) == 1 and values:
            return Change(Ref(numbers=(found[0].number,)), day=values.day, at=values.at, priority=values.priority)
    return None


def _pick(state: DialogState, ref: Ref) -> Plan[str]:
    if len(ref.numbers) == 1 or ref.pronoun == "it" or len(ref.places) == 1:
        return (yield from responses.inspect(state, Inspect(ref), then="What would you like to do with it?"))
    return "What would you like to do with them?"
