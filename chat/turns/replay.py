"""The model of a turn: journaled steps first, the live model after them, every piece of text into the log."""

import time
from typing import Any

from agents import Model
from agents.items import TResponseStreamEvent
from openai.types import responses

from chat.assistant.endpoints.context_window import Window, WithinContext
from chat.assistant.endpoints.fallback import FirstAvailable
from chat.assistant.endpoints.providers import alternatives, name_of
from chat.assistant.endpoints.request_size import Sent
from chat.assistant.endpoints.retrying import Retry, Retrying
from chat.assistant.endpoints.spans import RequestSpan
from chat.assistant.endpoints.validation.items import refusals
from chat.assistant.endpoints.validation.model import ValidModel
from chat.assistant.endpoints.wrapping import Ask, Events, Given, WrappedModel, closed_after
from chat.exceptions import ModelFailed
from chat.turns.events import ModelRetrying, ReasoningDelta, TextDelta, TurnResumed
from chat.turns.journal import SEPARATOR, Journal
from chat.turns.log import TurnLog


class ReplayModel(WrappedModel):
    """Returns the journal's steps without a request; then calls the model, and writes its text to the log.

    `window` knows how much of the conversation the model is sent.
    """

    def __init__(self, model: Model, journal: Journal, log: TurnLog, window: Window | None = None) -> None:
        self._window = window or Window()
        self._within: dict[str, WithinContext] = {}  # by the name of the model
        self._models = FirstAvailable(alternatives(model), self._wrapped, self._fallen_back)
        super().__init__(self._models)
        self._journal = journal
        self._log = log
        self._earlier_length = 0  # characters shown of the steps before
        self._step_length = 0  # and of this one, with the separator
        self._earlier_reasoning = 0  # characters of the reasoning of the steps before
        self.refused: dict[str, str] = {}  # outputs of the calls that are not run as they are, by their ids
        self.step = 0
        self.from_journal = False
        self._requested_at = 0.0
        self._span: RequestSpan | None = None

    @property
    def name(self) -> str:
        """The name of the model that gave the last response."""
        return self._models.name

    @property
    def duration_ms(self) -> int:
        """How long the last response has taken."""
        return int((time.monotonic() - self._requested_at) * 1000)

    @property
    def sent(self) -> Sent | None:
        """The request that the last response answers; None if the model has no limit."""
        return self._window.sent

    async def watch(self, given: Given, ask: Ask) -> Events:
        self.step += 1
        self._earlier_length, self._step_length = self._earlier_length + self._step_length, 0
        self._earlier_reasoning = len(self._log.reasoning)
        self._requested_at = time.monotonic()
        self.from_journal = self.step <= len(self._journal.steps)
        if self.from_journal:
            step = self._journal.steps[self.step - 1]
            self._window.replay(step.sent)
            self._step_length = len(self._separated(step.text))
            self.refused |= refusals(step.output)
            yield _completed(step.output, step.usage)
            return
        with RequestSpan(self._models.current) as self._span:
            try:
                async with closed_after(ask()) as events:
                    async for event in events:
                        self._span.watch(event)
                        self._log_event(event)
                        yield event
            except ModelFailed:
                self._drop_rest()
                raise

    def _wrapped(self, model: Model) -> Model:
        """Wrap an alternative with retries, validation and the limit of its context."""
        within = self._within.setdefault(name_of(model), WithinContext(model, self._window))
        return Retrying(ValidModel(within, self._retract), self._restart, self._retrying)

    def _log_event(self, event: TResponseStreamEvent) -> None:
        if isinstance(event, responses.ResponseTextDeltaEvent | responses.ResponseRefusalDeltaEvent):
            self._append_text(event.delta)
        elif isinstance(event, responses.ResponseReasoningTextDeltaEvent):
            self._append_reasoning(event.delta)
        elif isinstance(event, responses.ResponseCompletedEvent):
            self.refused |= refusals(event.response.output)
            self._drop_rest()

    def _append_text(self, text: str) -> None:
        text = text if self._step_length else self._separated(text)
        self._log.append(TextDelta(text, self._earlier_length + self._step_length))
        self._step_length += len(text)

    def _append_reasoning(self, text: str) -> None:
        at = len(self._log.reasoning)
        between = SEPARATOR if 0 < self._earlier_reasoning == at else ""
        self._log.append(ReasoningDelta(between + text, at))

    def _separated(self, text: str) -> str:
        """Separate the beginning of a step from the steps before."""
        return SEPARATOR + text if text and self._earlier_length else text

    def _fallen_back(self, failure: ModelFailed) -> None:
        if self._span is not None:
            self._span.fallen_back(self._models.current, failure)

    def _retrying(self, retry: Retry) -> None:
        if self._span is not None:
            self._span.retrying(retry)
        detail = f"The model does not answer. Retrying, {retry.attempt} of {retry.of}."
        self._log.append(ModelRetrying(retry.attempt, retry.of, round(retry.seconds, 1), detail))

    def _restart(self) -> None:
        """Retract the text of a broken response, which is written again."""
        if self._step_length or len(self._log.reasoning) > self._earlier_reasoning:
            self._resume(self._log.reasoning[: self._earlier_reasoning])

    def _retract(self) -> None:
        """Retract text that turned out to be no part of the reply."""
        if self._step_length:
            self._resume(self._log.reasoning)

    def _resume(self, reasoning: str) -> None:
        self._step_length = 0
        tools = tuple(self._log.tools.values())
        self._log.append(TurnResumed(self._log.text, tools, self._earlier_length, reasoning or None))

    def _drop_rest(self) -> None:
        """Remove the text of a broken response that its replacement did not write again."""
        end = self._earlier_length + self._step_length
        if len(self._log.text) > end:
            self._log.append(TextDelta("", end))


def _completed(output: list[dict[str, Any]], usage: dict[str, int]) -> responses.ResponseCompletedEvent:
    response = responses.Response.model_validate(
        {
            "id": "journal",
            "created_at": 0,
            "model": "journal",
            "object": "response",
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                **usage,
                "total_tokens": sum(usage.values()),
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 0},
            },
        }
    )
    return responses.ResponseCompletedEvent(type="response.completed", sequence_number=0, response=response)
