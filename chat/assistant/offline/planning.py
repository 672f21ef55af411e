"""Decide the next step of a turn: its plan is played from the start over the answers that the tools gave so far."""

from collections.abc import Mapping, Sequence

from chat.assistant.offline.budget import TooManyTasks, TooMuch
from chat.assistant.offline.checklists import MOST_LINES
from chat.assistant.offline.context import Done, Instructions, Turn
from chat.assistant.offline.dialog_state import Call, DialogState
from chat.assistant.offline.handlers import carry_out
from chat.assistant.offline.understanding import LONGEST, is_readable

# The runner ends a turn with an error after 24 responses; the plan keeps clear of that, and says so.
MAX_STEPS = 20
_TOO_LONG = "That was a lot at once, and I stopped part way. Please look at your list, and tell me what is still to do."
_LOST = "I was interrupted part way. Please look at your list, and tell me what is still to do."
_TOO_MUCH = (
    f"That is more than I can read at once. Please tell me in up to {LONGEST:,} characters at a time; a list may have "
    f"{MOST_LINES} lines."
)
_TOO_HARD = (
    "I couldn't make sense of all that at once. Please tell me less at a time: one or two things, in short sentences."
)
_TOO_MANY = "You have {:,} open tasks, too many for me to find one by its name. Please tell me its number."
_TOO_FAR = "That date is out of reach. Which day do you mean?"
_NO_TOOLS = "Sorry, I can't reach your task list right now. Please try again later."


def next_step(instructions: Instructions, turns: Sequence[Turn], tools: frozenset[str]) -> str | list[Call]:
    """Return the calls to be made next, or the reply that ends the turn.

    A plan is a generator that yields calls and is sent their outcomes, so that it reads from top to bottom though
    nothing is kept between two responses: the calls found in the items answer its first steps.
    """
    if not is_readable(turns[-1].said):
        return _TOO_MUCH
    try:
        return _played(instructions, turns, tools)
    except TooMuch:
        return _TOO_LONG if turns[-1].made else _TOO_HARD
    except OverflowError:
        return _TOO_FAR
    except TooManyTasks as many:
        return _TOO_MANY.format(many.count)


def _played(instructions: Instructions, turns: Sequence[Turn], tools: frozenset[str]) -> str | list[Call]:
    plan = carry_out(DialogState(instructions, turns))
    made, steps, kept = list(turns[-1].calls), 0, list(instructions.kept)
    try:
        wanted = next(plan)
        while True:
            if any(call.name not in tools for call in wanted):
                return _NO_TOOLS
            known = [_taken(call, kept) for call in wanted]
            open_calls = [call for call, done in zip(wanted, known, strict=True) if done is None]
            if len(made) < len(open_calls):
                return open_calls if steps < MAX_STEPS else _TOO_LONG
            answers, made = made[: len(open_calls)], made[len(open_calls) :]
            if [call.name for call in open_calls] != [done.name for done in answers]:
                return _LOST
            steps += bool(open_calls)
            new = iter(answers)
            wanted = plan.send([(done or next(new)).outcome for done in known])
    except StopIteration as end:
        return str(end.value)


def _taken(call: Call, kept: list[Done]) -> Done | None:
    """Take a call from those that an earlier version of the turn made: it is not made again."""
    for done in kept:
        if (done.name, _given(done.arguments)) == (call.name, _given(call.arguments)):
            kept.remove(done)
            return done
    return None


def _given(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if value is not None}
