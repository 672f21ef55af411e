"""Check ten features of a model's endpoint, and derive the settings that it needs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, cast

from agents import Model, ModelTracing, TResponseInputItem
from openai.types import responses

from chat.assistant.endpoints.failures import NO_API, NO_MODEL
from chat.assistant.endpoints.providers import make_client, make_model, model_settings
from chat.assistant.endpoints.retrying import Retrying
from chat.assistant.endpoints.validation.model import ValidModel
from chat.assistant.endpoints.wrapping import closed_after
from chat.assistant.model_config import Api, ModelConfig, learned
from chat.assistant.tools import TOOLS
from chat.exceptions import ModelFailed

Outcome = Literal["ok", "missing", "failed", "skipped"]
Item = dict[str, Any]

INSTRUCTIONS = "You look after a to-do list with the tools. You answer briefly."
UNICODE = "Grüße, 日本, 🧵"
WORD = "zebra"
NO_SUCH_MODEL = "threadkeeper-no-such-model"
LONGEST = 180.0  # seconds for one point
MOST_EXCHANGES = 100
TOKENS_PER_EXCHANGE = 120  # a generous limit


@dataclass(frozen=True, slots=True)
class Point:
    """The result of one check: "missing" is optional, "failed" is required."""

    name: str
    api: Api
    outcome: Outcome
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of all checks through one API, and the settings to use."""

    model: str
    points: tuple[Point, ...]
    api: Api
    omit: tuple[str, ...]
    reasoning: str

    @property
    def is_usable(self) -> bool:
        """Whether all required checks passed."""
        return all(point.outcome in ("ok", "missing") for point in self.points)

    @property
    def speaks_nothing(self) -> bool:
        """Whether the URL does not serve this API."""
        return self.points[0].note == NO_API.detail

    def as_json(self) -> dict[str, Any]:
        """Return it as a plain dict."""
        return asdict(self) | {"is_usable": self.is_usable}


class Lacking(Exception):
    """The endpoint answers in an unexpected way, which the text describes."""


def check(config: ModelConfig, on_point: Callable[[Point], None] = lambda point: None) -> Report:
    """Run ten checks, each reported as soon as it is done. Nothing is stored, and no tool runs.

    If a required check fails with the configured API, the other API is tried too.
    """
    return asyncio.run(_check(config, on_point))


async def _check(config: ModelConfig, on_point: Callable[[Point], None]) -> Report:
    other: Api = "chat_completions" if config.api == "responses" else "responses"
    report = await _check_api(config, on_point)
    # Another failure (a wrong key, no connection) would be the same with the other API.
    if report.is_usable or any(point.outcome == "skipped" and not report.speaks_nothing for point in report.points):
        return report
    by_other = await _check_api(replace(config, api=other), on_point)
    return by_other if by_other.is_usable or report.speaks_nothing else report


async def _check_api(config: ModelConfig, on_point: Callable[[Point], None]) -> Report:
    points = []
    async for point in _points(config):
        points.append(point)
        on_point(point)
    knows = learned(config.name)
    reasoning = "return" if knows.needs_reasoning else config.reasoning
    return Report(config.name, tuple(points), config.api, tuple(sorted(config.omit | knows.omit)), reasoning)


async def _points(config: ModelConfig) -> AsyncIterator[Point]:
    """Yield the result of each check; if the endpoint does not answer at all, skip the rest."""
    client = make_client(config)
    try:
        asked = _Asked(make_model(config, client), make_model(replace(config, model=NO_SUCH_MODEL), client))
        answers = True
        for name, ask, is_needed in asked.points():
            if not answers:
                yield Point(name, config.api, "skipped")
                continue
            begun = time.monotonic()
            outcome, note = await _outcome(ask, is_needed=is_needed)
            yield Point(name, config.api, outcome, round(time.monotonic() - begun, 1), note)
            answers = outcome != "failed" or name != "stream"
    finally:
        await client.close()


async def _outcome(ask: Callable[[], Awaitable[str]], *, is_needed: bool) -> tuple[Outcome, str]:
    lacking: Outcome = "failed" if is_needed else "missing"
    try:
        async with asyncio.timeout(LONGEST):
            return "ok", await ask()
    except Lacking as lack:
        return lacking, str(lack)
    except ModelFailed as failure:
        return lacking, failure.detail
    except TimeoutError:
        return lacking, f"There is no answer within {LONGEST:.0f} seconds."


@dataclass(slots=True)
class _Answer:
    text: str = ""
    pieces: int = 0
    output: list[Item] = field(default_factory=list)
    calls: list[responses.ResponseFunctionToolCall] = field(default_factory=list)
    reasoning: int = 0
    tokens: tuple[int, int] = (0, 0)


class _Asked:
    """The ten checks, of one or two requests each; later ones use earlier answers."""

    def __init__(self, model: Model, unknown: Model) -> None:
        self._model = model
        self._unknown = unknown
        self._first = _Answer()
        self._called = _Answer()
        self._thought = 0

    def points(self) -> Sequence[tuple[str, Callable[[], Awaitable[str]], bool]]:
        """Return each check's name and function, and whether it is required."""
        return (
            ("stream", self.stream, True),
            ("tool call", self.tool_call, True),
            ("two calls at once", self.two_calls, False),
            ("answer after a tool", self.after_a_tool, True),
            ("second turn", self.second_turn, True),
            ("Unicode", self.unicode, True),
            ("usage", self.usage, False),
            ("long history", self.long_history, True),
            ("error format", self.error_format, False),
            ("reasoning", self.reasoning, False),
        )

    async def stream(self) -> str:
        self._first = await self._ask(_user("Count from one to twenty, in words."))
        if not self._first.text.strip():
            raise Lacking("The answer has no text.")
        pieces = self._first.pieces
        return f"{pieces} pieces" if pieces > 1 else "The whole text comes at once."

    async def tool_call(self) -> str:
        self._called = await self._ask(_user("Add a task with the title Tea."))
        self._called.calls = [call for call in self._called.calls if call.name == "create_task"]
        if not self._called.calls:
            raise Lacking("The model answers without calling the tool.")
        # Invalid JSON has become an empty object.
        if not all("title" in json.loads(call.arguments) for call in self._called.calls):
            self._called = _Answer()
            raise Lacking("The call's arguments are no JSON object, or are cut off.")
        return "create_task"

    async def two_calls(self) -> str:
        wish = "Add two tasks, Milk and Bread. Call the tool twice within this one answer."
        if len((await self._ask(_user(wish))).calls) < 2:
            raise Lacking("One call comes in an answer: several wishes take several answers.")
        return ""

    async def after_a_tool(self) -> str:
        if not self._called.calls:
            raise Lacking("There was no tool call to continue from.")
        done = '{"ok": true, "task": {"number": 1, "title": "Tea"}}'
        called = {item["call_id"] for item in self._called.output if item.get("type") == "function_call"}
        outputs = [{"type": "function_call_output", "call_id": call_id, "output": done} for call_id in called]
        answer = await self._ask([*_user("Add a task with the title Tea."), *self._called.output, *outputs])
        if not answer.text.strip() and not answer.calls:
            raise Lacking("The answer has neither text nor calls.")
        return ""

    async def second_turn(self) -> str:
        first = _user(f"Remember the word {WORD}. Answer OK.")
        answer = await self._ask(first)
        reply = await self._ask([*first, *answer.output, *_user("Which word was it? Answer with the word.")])
        if not reply.text.strip():
            raise Lacking("The answer has no text.")
        return "" if WORD in reply.text.lower() else "The model does not recall a word of the first turn."

    async def unicode(self) -> str:
        reply = (await self._ask(_user(f"Repeat exactly, and nothing else: {UNICODE}"))).text
        if "\ufffd" in reply or not reply.strip():
            raise Lacking("Characters beyond ASCII arrive broken.")
        return "" if UNICODE in reply else "The model does not repeat the text exactly."

    async def usage(self) -> str:
        if not all(self._first.tokens):
            raise Lacking("The stream reports no tokens: usage, cost and TOKENS_PER_DAY count nothing.")
        return "{:,} tokens in, {:,} out".format(*self._first.tokens)

    async def long_history(self) -> str:
        config = getattr(self._model, "config")  # noqa: B009 - of each of our two models
        count = min(MOST_EXCHANGES, config.context_tokens // TOKENS_PER_EXCHANGE)
        history: list[Any] = []
        for n in range(count):
            history += [*_user(f"Message {n}."), {"role": "assistant", "content": f"Answer {n}."}]
        if not (await self._ask([*history, *_user("Say hello.")])).text.strip():
            raise Lacking("The answer has no text.")
        return f"{2 * count:,} messages"

    async def error_format(self) -> str:
        try:
            await self._ask(_user("Hello"), self._unknown)
        except ModelFailed as failure:
            if failure.detail != NO_MODEL.detail:
                raise Lacking(f"An unknown model is answered with: {failure.detail}") from None
            return ""
        raise Lacking("A model of any name is answered: a wrong AGENT_MODEL is not noticed.")

    async def reasoning(self) -> str:
        if not self._thought:
            raise Lacking("None comes.")
        return "It comes, and may be sent back." if self._called.reasoning else "It comes."

    async def _ask(self, items: list[Item], model: Model | None = None) -> _Answer:
        """Send a request as a turn does, with the assistant's tools. Raise ModelFailed."""
        asked = Retrying(ValidModel(model or self._model), lambda: None)
        answer = _Answer()
        given, tools = cast(list[TResponseInputItem], items), [tool.function_tool() for tool in TOOLS]
        chosen, unset = model_settings(model or self._model), {"previous_response_id": None, "conversation_id": None}
        stream = asked.stream_response(
            INSTRUCTIONS, given, chosen, tools, None, [], ModelTracing.DISABLED, **unset, prompt=None
        )
        async with closed_after(stream) as events:
            async for event in events:
                if isinstance(event, responses.ResponseTextDeltaEvent):
                    answer.pieces += 1
                elif isinstance(event, responses.ResponseCompletedEvent):
                    _read(event.response, answer)
        self._thought += answer.reasoning
        return answer


def _read(response: responses.Response, answer: _Answer) -> None:
    answer.output = [item.model_dump(mode="json", exclude_unset=True) for item in response.output]
    answer.text = response.output_text
    answer.calls = [item for item in response.output if isinstance(item, responses.ResponseFunctionToolCall)]
    answer.reasoning = sum(isinstance(item, responses.ResponseReasoningItem) for item in response.output)
    if response.usage is not None:
        answer.tokens = response.usage.input_tokens, response.usage.output_tokens


def _user(text: str) -> list[Item]:
    return [{"role": "user", "content": text}]
