"""Decide the next step of a turn by replaying its plan over the tool outputs so far."""

from collections.abc import Mapping, Sequence

from chat.assistant.offline.budget import BudgetExceeded, TooManyTasks
from chat.assistant.offline.checklists import MAX_LINES
from chat.assistant.offline.context import FinishedCall, Instructions, Turn
from chat.assistant.offline.dialog_state import Call, DialogState
from chat.assistant.offline.handlers import run_turn
from chat.assistant.offline.understanding import LONGEST, is_readable

# The runner fails a turn after 24 responses; the plan stops earlier and reports it.
MAX_STEPS = 20
_TOO_LONG = "That was a lot at once, and I stopped part way. Please look at your list, and tell me what is still to do."
_INTERRUPTED = "I was interrupted part way. Please look at your list, and tell me what is still to do."
_TOO_MUCH = (
    f"That is more than I can read at once. Please tell me in up to {LONGEST:,} characters at a time; a list may have "
    f"{MAX_LINES} lines."
)
_BUDGET_EXCEEDED = (
    "I couldn't make sense of all that at once. Please tell me less at a time: one or two things, in short sentences."
)
_TOO_MANY = "You have {:,} open tasks, too many for me to find one by its name. Please tell me its number."
_DATE_OUT_OF_RANGE = "That date is out of reach. Which day do you mean?"
_NO_TOOLS = "Sorry, I can't reach your task list right now. Please try again later."


def next_step(instructions: Instructions, turns: Sequence[Turn], tools: frozenset[str]) -> str | list[Call]:
    """Return the next calls, or the reply that ends the turn.

    A plan is a generator that yields calls and receives their outcomes. It reads from top to bottom although the model
    is stateless: the calls in the items answer its first steps.
    """
    try:
        if not is_readable(turns[-1].message, instructions.now):
            return _TOO_MUCH
        return _replay(instructions, turns, tools)
    except BudgetExceeded:
        return _TOO_LONG if turns[-1].tool_calls else _BUDGET_EXCEEDED
    except OverflowError:
        return _DATE_OUT_OF_RANGE
    except TooManyTasks as many:
        return _TOO_MANY.format(many.count)


def _replay(instructions: Instructions, turns: Sequence[Turn], tools: frozenset[str]) -> str | list[Call]:
    plan = run_turn(DialogState(instructions, turns))
    finished, steps, earlier = list(turns[-1].calls), 0, list(instructions.earlier_calls)
    try:
        wanted = next(plan)
        while True:
            if any(call.name not in tools for call in wanted):
                return _NO_TOOLS
            taken = [_take_earlier(call, earlier) for call in wanted]
            open_calls = [call for call, finished_call in zip(wanted, taken, strict=True) if finished_call is None]
            if len(finished) < len(open_calls):
                return open_calls if steps < MAX_STEPS else _TOO_LONG
            answers, finished = finished[: len(open_calls)], finished[len(open_calls) :]
            if [call.name for call in open_calls] != [finished_call.name for finished_call in answers]:
                return _INTERRUPTED
            steps += bool(open_calls)
            new = iter(answers)
            wanted = plan.send([(finished_call or next(new)).outcome for finished_call in taken])
    except StopIteration as end:
        return str(end.value)


def _take_earlier(call: Call, earlier: list[FinishedCall]) -> FinishedCall | None:
    """Take a call from those of an earlier version of the turn: it is not repeated."""
    for finished in earlier:
        if (finished.name, _without_nulls(finished.arguments)) == (call.name, _without_nulls(call.arguments)):
            earlier.remove(finished)
            return finished
    return None


def _without_nulls(arguments: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in arguments.items() if value is not None}
