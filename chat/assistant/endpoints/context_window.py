"""Keep each request within the model's context: omit the oldest turns, and more of them if it is refused.

A size is the number of UTF-8 bytes divided by three, which is close to the number of tokens of English, of JSON and of
languages that are written without spaces. The endpoint reports how many tokens a request took; the ratio of the two
makes the next estimate of the conversation more exact.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from agents import FunctionTool, Model, TResponseInputItem
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseCompletedEvent

from chat.assistant.agent import FORGOTTEN
from chat.assistant.endpoints.context_errors import ContextFull, Exceeded, read_error, read_event
from chat.assistant.endpoints.failures import BrokenStream
from chat.assistant.endpoints.request_size import MOST_RATIO, Sent
from chat.assistant.endpoints.wrapping import Events, Given, WrappedModel, closed_after
from chat.assistant.model_config import ModelConfig, learned
from chat.exceptions import ModelFailed
from chat.memory.items import is_user_message, surplus_of_request, turn_starts

logger = logging.getLogger(__name__)

BYTES_PER_TOKEN = 3
PER_ITEM = 4  # tokens of an item that are not its text
MOST_FOR_ANSWER = 4_000  # tokens reserved for the answer; a quarter of a small context

TOO_LONG_ANSWER = "The answer needs more room than the model has. Please ask for less at once."
TOO_LONG_MESSAGE = "This message is too long for the model. Please send it in shorter parts."
TOO_MUCH_READ = "What was read for this answer is too long for the model. Please ask for less at once."
TOO_SMALL = "The model reads too little at once to answer. Please ask an administrator to configure a larger context."

# What comes before anything is written.
_PRELIMINARY = frozenset({"response.created", "response.queued", "response.in_progress"})


@dataclass(frozen=True, slots=True)
class _Request:
    """One request: its items with their sizes, the size of instructions and tools, and the items that are left out."""

    instructions: str | None
    items: Sequence[Mapping[str, Any]]
    sizes: Sequence[int]
    fixed: int
    gone: Sequence[int] = ()

    @property
    def estimate(self) -> int:
        """The size of the sent items."""
        return self.fixed + sum(self.sizes) - sum(self.sizes[index] for index in self.gone)

    @property
    def kept(self) -> list[Mapping[str, Any]]:
        """The sent items."""
        gone = frozenset(self.gone)
        return [item for index, item in enumerate(self.items) if index not in gone]


class Window:
    """The sizes of a turn's requests, for all models it is sent to.

    `before` is the last request of the turn before. `on_shortened` is called where the beginning is left out for the
    first time, and whenever a request begins later than the one before it. Since a quarter more is left out than must
    be, most turns of a long conversation are answered without such a call.
    """

    def __init__(self, before: Sent | None = None, on_shortened: Callable[[], None] = lambda: None) -> None:
        self.sent: Sent | None = None  # the last request of this turn
        self.turns = None if before is None or before.turns is None else before.turns + 1
        self.ratio = (before and before.ratio) or 1.0
        self._on_shortened = on_shortened

    def replay(self, sent: Sent | None) -> None:
        """Restore the last request of this turn from the journal."""
        if sent is not None:
            self.ask(sent.turns)
            self.ratio = sent.ratio or self.ratio

    def ask(self, turns: int | None) -> None:
        """Record how many user turns a request holds; None if nothing is omitted."""
        if turns is not None and (self.turns is None or turns < self.turns):
            self._on_shortened()
        self.turns = turns

    def answered(self, estimate: int, tokens: int) -> None:
        """Record that the request was answered, with the token count of the endpoint."""
        self.sent = Sent(estimate, tokens, self.turns)
        self.ratio = self.sent.ratio or self.ratio


class WithinContext(WrappedModel):
    """Sends as much of the conversation as fits into the model's context; the session keeps the rest.

    A model without a `ModelConfig` gets everything.
    """

    def __init__(self, inner: Model, window: Window) -> None:
        super().__init__(inner)
        config = getattr(inner, "config", None)
        self._config = config if isinstance(config, ModelConfig) else None
        self._window = window
        self._cap: int | None = None  # tokens that were too many, in this turn
        self._refused: int | None = None  # the same, and the model's limit if fewer are accepted

    def stream_response(self, system_instructions: Any, input: Given, *args: Any, **kwargs: Any) -> Events:
        if self._config is None or isinstance(input, str):
            return self.inner.stream_response(system_instructions, input, *args, **kwargs)

        def ask(request: _Request) -> Events:
            given = cast(list[TResponseInputItem], request.kept)
            return self.inner.stream_response(_with_note(request), given, *args, **kwargs)

        _settings, tools, *_ = args
        return self._answered(self._fitted(system_instructions, input, tools), ask)

    async def _answered(self, request: _Request, ask: Callable[[_Request], Events]) -> Events:
        """Yield the events of the response; repeat the request with fewer items while the endpoint refuses it."""
        while True:
            self._window.ask(len(turn_starts(request.kept)) if request.gone else None)
            has_begun = False
            try:
                async with closed_after(ask(request)) as events:
                    async for event in events:
                        if exceeded := read_event(event, has_begun=has_begun):
                            raise ContextFull(exceeded)
                        has_begun = has_begun or event.type not in _PRELIMINARY
                        self._note(request, event)
                        yield event
                return
            except Exception as error:
                exceeded = read_error(error)
                if exceeded is None:
                    raise
                self._learn(request, exceeded, has_begun=has_begun)
                request = self._shorter(request, has_begun=has_begun)
            if has_begun:
                raise BrokenStream from None  # the partial reply is retracted before it is repeated

    # -- sizes

    @property
    def _limit(self) -> int:
        assert self._config is not None  # checked before anything is counted
        known = (self._config.context_tokens, learned(self._config.name).context_tokens, self._cap)
        return min(limit for limit in known if limit is not None)

    def _room(self, request: _Request) -> int:
        """Return the maximum size of the items."""
        room = self._limit - min(self._limit // 4, MOST_FOR_ANSWER)
        return max(int(room / self._window.ratio) - request.fixed, 0)

    def _fitted(self, instructions: str | None, items: Sequence[Any], tools: Sequence[Any]) -> _Request:
        fixed = size_of(instructions or "") + sum(size_of_tool(tool) for tool in tools)
        request = _Request(instructions, items, [size_of(item) + PER_ITEM for item in items], fixed)
        gone = surplus_of_request(items, self._room(request), request.sizes, turns=self._window.turns)
        return replace(request, gone=gone)

    def _shorter(self, request: _Request, *, has_begun: bool) -> _Request:
        """Return the request with fewer items. Raise ModelFailed if only the newest are left."""
        room = self._room(request)
        while True:
            gone = surplus_of_request(request.items, room, request.sizes)
            if len(gone) > len(request.gone):
                return replace(request, gone=gone)
            if not room:
                sentence = TOO_LONG_ANSWER if has_begun else _sentence(request)
                raise ModelFailed(sentence, retryable=False) from None
            room = room * 3 // 4

    # -- limits

    def _learn(self, request: _Request, exceeded: Exceeded, *, has_begun: bool) -> None:
        """Adjust the limit after a refusal: to the reported limit, or else to the size of the request."""
        window = self._window
        if exceeded.asked:
            window.ratio = Sent(request.estimate, exceeded.asked).ratio or window.ratio
        tokens = exceeded.asked or int(request.estimate * window.ratio)
        if exceeded.limit and tokens < exceeded.limit and not (exceeded.asked or has_begun):
            # The request was larger than estimated.
            window.ratio = min(window.ratio * exceeded.limit / tokens, MOST_RATIO)
            tokens = exceeded.limit
        self._cap = min(tokens, self._cap or tokens)
        if exceeded.limit:
            self._remember(min(exceeded.limit, exceeded.asked or exceeded.limit))
        elif exceeded.is_refused and not has_begun:
            self._refused = self._cap

    def _note(self, request: _Request, event: TResponseStreamEvent) -> None:
        if isinstance(event, ResponseCompletedEvent):
            self._window.answered(request.estimate, event.response.usage.input_tokens if event.response.usage else 0)
            if self._refused is not None:
                self._remember(self._refused)

    def _remember(self, limit: int) -> None:
        assert self._config is not None  # checked before anything is counted
        known = learned(self._config.name)
        if known.context_tokens is None or limit < known.context_tokens:
            known.context_tokens = limit
            logger.info("Requests to the model %s hold at most %s tokens from now on.", self._config.name, f"{limit:,}")


def size_of(value: object) -> int:
    """Estimate the tokens of the texts of an item."""
    return _bytes_in(value) // BYTES_PER_TOKEN


def _bytes_in(value: object) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping):
        return sum(map(_bytes_in, value.values()))
    return sum(map(_bytes_in, value)) if isinstance(value, list | tuple) else 0


def size_of_tool(tool: object) -> int:
    """Estimate the tokens of a tool's name, description and schema."""
    if not isinstance(tool, FunctionTool):
        return 0
    known = _tools.get(id(tool))
    if known is None:
        size = size_of([tool.name, tool.description, str(tool.params_json_schema)])
        known = _tools[id(tool)] = (tool, size)
    return known[1]


# By id, and with the tool, so that no other one gets its id: a process makes its tools once.
_tools: dict[int, tuple[FunctionTool, int]] = {}


def _with_note(request: _Request) -> str | None:
    """Return the instructions, with a note if the beginning is omitted."""
    instructions = request.instructions
    if not request.gone or instructions is None or FORGOTTEN in instructions:
        return instructions
    return f"{instructions}\n{FORGOTTEN}"


def _sentence(request: _Request) -> str:
    """Return why the shortest possible request is refused."""
    kept = request.kept
    if request.estimate - request.fixed < request.fixed // 2:
        return TOO_SMALL
    return TOO_LONG_MESSAGE if kept and is_user_message(kept[-1]) else TOO_MUCH_READ
