"""Messages that contain the model's script, so that its responses depend only on the message.

A turn that is retried, in any server process, gets the same responses; every effect has a unique name.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from chat.memory.items import Item, is_output, is_user_message
from chat.tests.model_server import Answer, Call, HttpError, Request, Text
from chat.tests.model_server.script import Part, Step
from chat.turns.journal import join_texts

CREATE, COMPLETE, UPDATE = "create_task", "complete_task", "update_task"


@dataclass(frozen=True)
class Order:
    """A message: the calls of each response before the last, and how many words the last one has.

    `complete_task` changes the first task that the first response created, `update_task` the last one.
    """

    name: str
    steps: tuple[tuple[str, ...], ...] = ()
    words: int = 5
    delay: float = 0.0  # seconds before each piece of a stream

    @property
    def message(self) -> str:
        """The text of the user's message."""
        return json.dumps(asdict(self))

    @property
    def reply(self) -> str:
        """The text of the whole reply."""
        return join_texts([f"{self.name}: step {n}." for n in range(len(self.steps))] + ["".join(self.pieces)])

    @property
    def pieces(self) -> tuple[str, ...]:
        """The pieces of the last response."""
        return (f"{self.name}:", *(f" word {n}" for n in range(self.words)))

    @property
    def titles(self) -> list[str]:
        """The titles of the tasks that it creates."""
        return [title for step, calls in enumerate(self.steps) for title in self.titles_of(step, calls)]

    @property
    def calls(self) -> list[str]:
        """The tools that it calls, in alphabetical order."""
        return sorted(call for step in self.steps for call in step)

    def titles_of(self, step: int, calls: Iterable[str]) -> list[str]:
        """Return the titles of the tasks that one response creates."""
        return [f"{self.name} {step}.{index}" for index, call in enumerate(calls) if call == CREATE]


def read_order(message: str) -> Order:
    """Parse a message into its order."""
    fields = json.loads(message)
    return Order(**{**fields, "steps": tuple(map(tuple, fields["steps"]))})


@dataclass(frozen=True)
class ModelRequest:
    """A request for one response of a turn; `n` is the step's number in the journal."""

    name: str
    n: int
    at: datetime


class OrderTaker:
    """Answers requests by the order in their last message, except those `held` back; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[ModelRequest] = []
        self.problems: list[str] = []  # descriptions of requests that no turn may send
        self.held: set[int] = set()  # the numbers of the responses that must wait

    async def answer(self, request: Request) -> Step:
        """Answer a request: the rule of a model server."""
        at = datetime.now(UTC)
        order = read_order(request.last_user_text)
        outputs = _outputs_of_last_turn(request.items)
        step = _steps_done(order, len(outputs))
        if step is None:
            self.problems.append(f"{order.name} was asked for with a part of a response's outputs")
            return HttpError(400, self.problems[-1])
        self.requests.append(ModelRequest(order.name, step + 1, at))
        while step + 1 in self.held:
            await asyncio.sleep(0.01)
        if step == len(order.steps):
            return Answer(parts=(Text(order.pieces, order.delay),))
        numbers = _numbers(outputs)
        parts: list[Part] = [Text((f"{order.name}:", f" step {step}."), order.delay)]
        for index, name in enumerate(order.steps[step]):
            arguments: dict[str, Any] = {"title": f"{order.name} {step}.{index}"}
            if name == COMPLETE:
                arguments = {"number": numbers[0]}
            elif name == UPDATE:
                arguments = {"number": numbers[len(order.titles_of(0, order.steps[0])) - 1], "priority": "high"}
            parts.append(Call(name, arguments, delay=order.delay))
        return Answer(parts=tuple(parts))

    def requested_steps(self, name: str) -> list[int]:
        """Return the numbers of the requested responses of a turn, in order."""
        return [asked.n for asked in self.requests if asked.name == name]


def _outputs_of_last_turn(items: Sequence[Item]) -> list[str]:
    start = max(index for index, item in enumerate(items) if is_user_message(item))
    return [str(item["output"]) for item in items[start:] if is_output(item)]


def _steps_done(order: Order, outputs: int) -> int | None:
    """Count the responses whose calls all have outputs; None if one has only some of them."""
    ends = list(accumulate(map(len, order.steps), initial=0))
    return ends.index(outputs) if outputs in ends else None


def _numbers(outputs: list[str]) -> list[int]:
    """Return the numbers of the created tasks, in the order of their calls."""
    return [json.loads(output)["task"]["number"] for output in outputs]
