"""Answer questions about earlier messages from the items or, if these were pruned, by a search."""

from collections.abc import Sequence

from chat.assistant.offline import recalling, replies
from chat.assistant.offline.clauses import strip_politeness
from chat.assistant.offline.dialog_state import Call, DialogState, Plan
from chat.assistant.offline.intents import Recall
from chat.assistant.offline.understanding import LONGEST

# Characters of all recalled messages together, and the minimum for each.
_MAX_RECALLED, _MIN_RECALLED = 20_000, 100
_MAX_LISTED, _MAX_FOUND = 50, 5  # messages
_NAME_QUERY = '"call me" or "my name" or "called"'


def recall(state: DialogState, intent: Recall) -> Plan[str]:
    """Repeat earlier messages of the conversation."""
    if intent.name:
        return (yield from _recall_name(state))
    if intent.about:
        return (yield from _recall_topic(state, intent.about))
    if intent.gone:
        return _recall_deleted(state)
    if intent.reply:
        replied = [turn.reply for turn in state.earlier_turns if turn.reply]
        if not replied:
            return "I haven't said anything yet."
        return f"I said:\n\n> {_truncate(replied[-1], _MAX_RECALLED).replace(chr(10), chr(10) + '> ')}"
    if intent.whole:
        return (yield from _recall_all(state))
    return (yield from _recall_message(state, intent.place))


def _recall_message(state: DialogState, place: int) -> Plan[str]:
    """Repeat the message at a position, from 1, or the last one (-1)."""
    messages, is_all = [turn.message for turn in state.earlier_turns], not state.instructions.is_pruned
    if not messages or (place > 0 and not is_all):
        order, limit = ("oldest", place) if place > 0 else ("newest", 1)
        found = yield from _search(state, order=order, limit=limit)
        if found is not None:
            messages, is_all = list(found), True
    if not messages:
        return "This is the first thing you have asked me in this conversation."
    if place == -1:
        return f"Just before this you said: “{replies.escape(messages[-1])}”"
    if place > len(messages):
        return f"You have only said {len(messages)} thing{'s' if len(messages) > 1 else ''} before this."
    if place == 1:
        lead = "The first thing you asked was" if is_all else "The earliest I still remember is"
        return f"{lead}: “{replies.escape(messages[0])}”"
    return f"{'That' if is_all else 'Of what I still remember, that'} was: “{replies.escape(messages[place - 1])}”"


def _recall_all(state: DialogState) -> Plan[str]:
    messages, lead = [turn.message for turn in state.earlier_turns], "You said"
    if not messages or state.instructions.is_pruned:
        outcome = (yield [_call(order="newest", limit=_MAX_LISTED)])[0]
        if outcome.ok:
            messages = [*reversed(outcome.messages)]
            lead = (
                f"Of {outcome.total} messages, your last {len(messages)} were"
                if outcome.total > len(messages)
                else lead
            )
        else:
            lead = "As far as I still remember, you said"
    if not messages:
        return "This is the first thing you have asked me in this conversation."
    return f"{lead}:\n\n{_format_messages(messages)}"


def _recall_topic(state: DialogState, about: str) -> Plan[str]:
    """Repeat the user's messages about a topic."""
    found = yield from _search(state, query=about, order="newest", limit=_MAX_FOUND)
    if found is None:
        return "I couldn't look that up just now."
    if not found:
        return f"I find nothing you said about “{replies.escape(about)}” in this conversation."
    return f"You said:\n\n{_format_messages([*reversed(found)])}"


def _recall_name(state: DialogState) -> Plan[str]:
    messages: Sequence[str] = [turn.message for turn in state.earlier_turns]
    names = _names(messages)
    if not names and (state.instructions.is_pruned or not messages):
        names = _names(
            [*reversed((yield from _search(state, query=_NAME_QUERY, order="newest", limit=_MAX_LISTED)) or ())]
        )
    return f"You asked me to call you {replies.escape(names[-1])}." if names else "You haven't told me your name yet."


def _names(messages: Sequence[str]) -> list[str]:
    short = (text for text in messages if len(text) <= LONGEST)
    return [name.text for text in short if (name := recalling.parse_name(strip_politeness(text)))]


def _recall_deleted(state: DialogState) -> str:
    numbers = state.deleted()
    turns = [
        [call.changed for call in turn.calls if call.changed and call.changed.number in numbers]
        for turn in state.earlier_turns
    ]
    tasks = next((deleted for deleted in reversed(turns) if deleted), [])
    if not tasks:
        return "Nothing was deleted in this conversation, as far as I remember."
    return f"Last deleted: {replies.task_names(tasks)}. Say *undo* to bring it back."


def _search(state: DialogState, **arguments: object) -> Plan[tuple[str, ...] | None]:
    """Return the user's messages from the search; None if it is not available."""
    outcome = (yield [_call(**arguments)])[0]
    return outcome.messages if outcome.ok else None


def _call(**arguments: object) -> Call:
    return Call("search_conversation", {"role": "user", **arguments})


def _format_messages(messages: Sequence[str]) -> str:
    most = max(_MIN_RECALLED, _MAX_RECALLED // len(messages))
    return "\n".join(f"{place}. “{replies.escape(_truncate(text, most))}”" for place, text in enumerate(messages, 1))


def _truncate(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
