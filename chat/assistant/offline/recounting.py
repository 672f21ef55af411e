"""Answer questions about what was said before, from the items or, where these do not go back far enough, by a search."""

from collections.abc import Sequence

from chat.assistant.offline import recalling, replies
from chat.assistant.offline.clauses import unwrap
from chat.assistant.offline.dialog_state import Call, DialogState, Work
from chat.assistant.offline.intents import Recall
from chat.assistant.offline.understanding import LONGEST

# Characters: of all that is recalled together, and what each message gets of it at least.
_MOST_RECALLED, _LEAST_RECALLED = 20_000, 100
_MOST_LISTED, _MOST_FOUND = 50, 5  # messages
_NAMING = '"call me" or "my name" or "called"'


def recall(desk: DialogState, wish: Recall) -> Work[str]:
    """Repeat what was said before in the conversation."""
    if wish.name:
        return (yield from _name(desk))
    if wish.about:
        return (yield from _about(desk, wish.about))
    if wish.gone:
        return _gone(desk)
    if wish.reply:
        replied = [turn.replied for turn in desk.before if turn.replied]
        if not replied:
            return "I haven't said anything yet."
        return f"I said:\n\n> {_cut(replied[-1], _MOST_RECALLED).replace(chr(10), chr(10) + '> ')}"
    if wish.whole:
        return (yield from _whole(desk))
    return (yield from _one(desk, wish.place))


def _one(desk: DialogState, place: int) -> Work[str]:
    """Repeat the message at a place, from 1, or the last one (-1)."""
    said, is_all = [turn.said for turn in desk.before], not desk.instructions.forgotten
    if not said or (place > 0 and not is_all):
        order, limit = ("oldest", place) if place > 0 else ("newest", 1)
        found = yield from _search(desk, order=order, limit=limit)
        if found is not None:
            said, is_all = list(found), True
    if not said:
        return "This is the first thing you have asked me in this conversation."
    if place == -1:
        return f"Just before this you said: “{replies.safe(said[-1])}”"
    if place > len(said):
        return f"You have only said {len(said)} thing{'s' if len(said) > 1 else ''} before this."
    if place == 1:
        lead = "The first thing you asked was" if is_all else "The earliest I still remember is"
        return f"{lead}: “{replies.safe(said[0])}”"
    return f"{'That' if is_all else 'Of what I still remember, that'} was: “{replies.safe(said[place - 1])}”"


def _whole(desk: DialogState) -> Work[str]:
    said, lead = [turn.said for turn in desk.before], "You said"
    if not said or desk.instructions.forgotten:
        outcome = (yield [_call(order="newest", limit=_MOST_LISTED)])[0]
        if outcome.ok:
            said = [*reversed(outcome.messages)]
            lead = f"Of {outcome.total} messages, your last {len(said)} were" if outcome.total > len(said) else lead
        else:
            lead = "As far as I still remember, you said"
    if not said:
        return "This is the first thing you have asked me in this conversation."
    return f"{lead}:\n\n{_listed(said)}"


def _about(desk: DialogState, about: str) -> Work[str]:
    """Repeat what the person said about something."""
    found = yield from _search(desk, query=about, order="newest", limit=_MOST_FOUND)
    if found is None:
        return "I couldn't look that up just now."
    if not found:
        return f"I find nothing you said about “{replies.safe(about)}” in this conversation."
    return f"You said:\n\n{_listed([*reversed(found)])}"


def _name(desk: DialogState) -> Work[str]:
    said: Sequence[str] = [turn.said for turn in desk.before]
    names = _names(said)
    if not names and (desk.instructions.forgotten or not said):
        names = _names([*reversed((yield from _search(desk, query=_NAMING, order="newest", limit=_MOST_LISTED)) or ())])
    return f"You asked me to call you {replies.safe(names[-1])}." if names else "You haven't told me your name yet."


def _names(said: Sequence[str]) -> list[str]:
    short = (text for text in said if len(text) <= LONGEST)
    return [given.text for text in short if (given := recalling.name_given(unwrap(text)))]


def _gone(desk: DialogState) -> str:
    numbers = desk.deleted()
    turns = [
        [call.changed for call in turn.calls if call.changed and call.changed.number in numbers] for turn in desk.before
    ]
    tasks = next((gone for gone in reversed(turns) if gone), [])
    if not tasks:
        return "Nothing was deleted in this conversation, as far as I remember."
    return f"Last deleted: {replies.joined([replies.named(task) for task in tasks])}. Say *undo* to bring it back."


def _search(desk: DialogState, **arguments: object) -> Work[tuple[str, ...] | None]:
    """Return what the person said, as the record has it; None where it cannot be searched."""
    outcome = (yield [_call(**arguments)])[0]
    return outcome.messages if outcome.ok else None


def _call(**arguments: object) -> Call:
    return Call("search_conversation", {"role": "user", **arguments})


def _listed(said: Sequence[str]) -> str:
    most = max(_LEAST_RECALLED, _MOST_RECALLED // len(said))
    return "\n".join(f"{place}. “{replies.safe(_cut(text, most))}”" for place, text in enumerate(said, 1))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
