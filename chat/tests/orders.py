"""Messages that say what the model is to do with them, so that its script depends on nothing but the message.

A turn that is played again, in whatever server process, is told the same story; every effect has a name of its own.
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

    `complete_task` and `update_task` take the tasks that the first response made, the first and the last of them.
    """

    name: str
    steps: tuple[tuple[str, ...], ...] = ()
    words: int = 5
    delay: float = 0.0  # seconds before each piece of a stream

    @property
    def message(self) -> str:
        """What the person says."""
        return json.dumps(asdict(self))

    @property
    def reply(self) -> str:
        """What the page shows in the end."""
        return join_texts([f"{self.name}: step {n}." for n in range(len(self.steps))] + ["".join(self.said)])

    @property
    def said(self) -> tuple[str, ...]:
        """The pieces of the last response."""
        return (f"{self.name}:", *(f" word {n}" for n in range(self.words)))

    @property
    def titles(self) -> list[str]:
        """The tasks that it makes."""
        return [title for step, calls in enumerate(self.steps) for title in self.titles_of(step, calls)]

    @property
    def calls(self) -> list[str]:
        """The tools that it calls, in alphabetical order."""
        return sorted(call for step in self.steps for call in step)

    def titles_of(self, step: int, calls: Iterable[str]) -> list[str]:
        """Name the tasks of one response."""
        return [f"{self.name} {step}.{place}" for place, call in enumerate(calls) if call == CREATE]


def read_order(message: str) -> Order:
    """Return the order that a message is."""
    fields = json.loads(message)
    return Order(**{**fields, "steps": tuple(map(tuple, fields["steps"]))})


@dataclass(frozen=True)
class Asked:
    """A request for one response of a turn, numbered as its journal does."""

    name: str
    n: int
    at: datetime


class OrderTaker:
    """Answers requests as their last message orders, but not those that are `held`; keeps what was asked, and when."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.wrong: list[str] = []  # what no turn should have asked
        self.held: set[int] = set()  # which responses of a turn are not given yet

    async def answer(self, request: Request) -> Step:
        """Answer a request: the rule of a model server."""
        at = datetime.now(UTC)
        order = read_order(request.said)
        outputs = _outputs_of_the_turn(request.items)
        step = _steps_done(order, len(outputs))
        if step is None:
            self.wrong.append(f"{order.name} was asked for with a part of a response's outputs")
            return HttpError(400, self.wrong[-1])
        self.asked.append(Asked(order.name, step + 1, at))
        while step + 1 in self.held:
            await asyncio.sleep(0.01)
        if step == len(order.steps):
            return Answer(parts=(Text(order.said, order.delay),))
        numbers = _numbers(outputs)
        parts: list[Part] = [Text((f"{order.name}:", f" step {step}."), order.delay)]
        for place, name in enumerate(order.steps[step]):
            arguments: dict[str, Any] = {"title": f"{order.name} {step}.{place}"}
            if name == COMPLETE:
                arguments = {"number": numbers[0]}
            elif name == UPDATE:
                arguments = {"number": numbers[len(order.titles_of(0, order.steps[0])) - 1], "priority": "high"}
            parts.append(Call(name, arguments, delay=order.delay))
        return Answer(parts=tuple(parts))

    def asked_for(self, name: str) -> list[int]:
        """Return the responses of a turn that were asked for, in order."""
        return [asked.n for asked in self.asked if asked.name == name]


def _outputs_of_the_turn(items: Sequence[Item]) -> list[str]:
    begun = max(index for index, item in enumerate(items) if is_user_message(item))
    return [str(item["output"]) for item in items[begun:] if is_output(item)]


def _steps_done(order: Order, outputs: int) -> int | None:
    """Count the responses whose calls are answered; None where one is answered in part."""
    ends = list(accumulate(map(len, order.steps), initial=0))
    return ends.index(outputs) if outputs in ends else None


def _numbers(outputs: list[str]) -> list[int]:
    """Return the numbers of the tasks that were made, in the order of their calls."""
    return [json.loads(output)["task"]["number"] for output in outputs]
