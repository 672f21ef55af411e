"""Recognise the errors by which endpoints report that a request does not fit into the model's context.

There is no common code for it, and most endpoints use only a sentence. `WORDINGS` has one pattern for each form of it;
where the sentence has numbers, the groups `limit` (what the model reads) and `asked` (what it was sent) read them.
"""

import json
import re
from dataclasses import dataclass

import openai
from agents import ModelBehaviorError
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseErrorEvent, ResponseFailedEvent, ResponseIncompleteEvent

from chat.assistant.endpoints.failures import READ, incomplete_reason

LEAST = 512  # tokens: a smaller number is no context length
MOST_DIGITS = 9  # of a number that is read

_TOKENS = r"[\d,]*\d"
_LIMIT = rf"(?P<limit>{_TOKENS})"
_ASKED = rf"(?P<asked>{_TOKENS})"

WORDINGS = tuple(
    re.compile(pattern, re.I | re.S)
    for pattern in (
        # OpenAI, Azure, vLLM, DeepSeek, OpenRouter, NVIDIA
        rf"maximum context length (?:is|of) {_LIMIT}"
        rf"(?: tokens?\W.{{0,80}}?(?:requested|resulted in|has|contains?|passed)(?: about| a total of)? {_ASKED}"
        r"(?: input)? tokens)?",
        r"context_length_exceeded|exceeds? (?:the )?(?:model's )?context (?:window|length)|context window exceed",
        r"ContextWindowExceeded|model_context_window_exceeded",
        # llama.cpp, which puts the numbers into fields of their own
        rf"request \({_ASKED} tokens\) exceeds the available context size \({_LIMIT} tokens\)",
        rf"exceed_context_size_error\W.{{0,80}}?n_prompt_tokens\W+{_ASKED}.{{0,20}}?n_ctx\W+{_LIMIT}",
        r"exceed_context_size_error|exceeds the available context size|context size has been exceeded",
        rf"Requested tokens \({_ASKED}\) exceed context window of {_LIMIT}",  # llama-cpp-python
        # LM Studio
        rf"Trying to keep the first {_ASKED} tokens .{{0,120}}?context length of only {_LIMIT} tokens",
        rf"n_keep:? \(?{_ASKED}\)? ?>= ?n_ctx:? \(?{_LIMIT}",
        rf"Reached context length of {_LIMIT} tokens",
        r"tokens to keep from the initial prompt is greater than the context length",
        # Ollama
        r"prompt too long; exceeded (?:max )?context length|input length exceeds the context length",
        # Anthropic, also behind Bedrock and LiteLLM
        rf"prompt is too long: {_ASKED} tokens > {_LIMIT}",
        rf"exceed context limit:\s+{_ASKED} \+ [\d,]+ > {_LIMIT}",
        r"prompt is too long|input is too long for requested model",
        # Gemini
        rf"input token count(?: \({_ASKED}\))? exceeds the maximum number of tokens allowed(?: \({_LIMIT}\))?",
        # Mistral
        rf"prompt contains {_ASKED} tokens.{{0,40}}? too large for model with {_LIMIT}",
        # vLLM's engine, SGLang, Together
        rf"prompt \((?:total )?length {_ASKED}\) is (?:longer than the maximum model length of"
        rf"|too long to fit into the model \(context length) {_LIMIT}",
        rf"input \({_ASKED} tokens\) is longer than the model\W{{1,2}}s context length \({_LIMIT}",
        rf"input length \(?{_ASKED}(?: tokens\))? exceeds the maximum (?:allowed )?length \(?{_LIMIT}",
        r"max_tokens must be at least 1, got -",
        # Text Generation Inference
        rf"`inputs` tokens \+ `max_new_tokens` must be <= {_LIMIT}\. Given: {_ASKED}",
        rf"`inputs` must have less than {_LIMIT} tokens\. Given: {_ASKED}",
        # Azure AI, GitHub Models, and limits per minute that are smaller than the request
        rf"request body too large for .{{0,80}}?max size: {_LIMIT} tokens",
        rf"request too large for .{{0,200}}?limit {_LIMIT}, requested {_ASKED}",
        r"tokens_limit_reached",
        # xAI, Moonshot, Alibaba, Z.ai
        rf"maximum prompt length is {_LIMIT} but the request contains {_ASKED}",
        rf"exceeded model token limit(?:: {_LIMIT}(?: \(requested: {_ASKED}\))?)?",
        rf"range of input length should be \[\d+, {_LIMIT}\]",
        r"prompt exceeds max length",
        rf"prompt has {_ASKED} tokens?, but the configured context size is {_LIMIT}",
    )
)
# Statuses with which one of the wordings counts; others have causes of their own.
_STATUSES = frozenset({400, 413, 422, 429, 500})
_CUT_OFF = "finish_reason='length'"


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A request was too long; both numbers are in tokens, None where the endpoint gives none.

    `is_refused` is false where it was accepted, and left no room to begin the answer.
    """

    limit: int | None = None
    asked: int | None = None
    is_refused: bool = True


class ContextFull(Exception):
    """An event of a stream reports that the context is full."""

    def __init__(self, exceeded: Exceeded) -> None:
        super().__init__("The request does not fit into the model's context.")
        self.exceeded = exceeded


def read_wording(text: str) -> Exceeded | None:
    """Read an endpoint's error text; None where it is about something else."""
    found = [match for pattern in WORDINGS if (match := pattern.search(text, 0, READ))]
    if not found:
        return None
    numbers: dict[str, int] = {}
    for match in found:
        for name, digits in match.groupdict().items():
            digits = (digits or "").replace(",", "")
            if 0 < len(digits) <= MOST_DIGITS and int(digits) >= LEAST:
                numbers.setdefault(name, int(digits))
    return Exceeded(numbers.get("limit"), numbers.get("asked"))


def read_error(error: BaseException) -> Exceeded | None:
    """Return what an error of the client or the SDK reports of an exceeded context; None for any other error."""
    if isinstance(error, ContextFull):
        return error.exceeded
    if isinstance(error, ModelBehaviorError):  # nothing was written before the context was full
        return Exceeded(is_refused=False) if _CUT_OFF in str(error) else None
    if not isinstance(error, openai.APIError):
        return None
    status = getattr(error, "status_code", None)
    if status is not None and status not in _STATUSES:
        return None
    found = read_wording(f"{error.message} {_as_text(error.body)}")
    # Of proxies that limit the bytes of a request; their body is a page, or empty.
    return Exceeded() if found is None and status == 413 else found


def read_event(event: TResponseStreamEvent, *, has_begun: bool) -> Exceeded | None:
    """Return what an event of a stream reports of an exceeded context.

    `has_begun` is true once something has been written: an answer that ends before that had no room.
    """
    if isinstance(event, ResponseErrorEvent):
        return read_wording(f"{event.code} {event.message}")
    if isinstance(event, ResponseFailedEvent) and event.response.error is not None:
        return read_wording(f"{event.response.error.code} {event.response.error.message}")
    if isinstance(event, ResponseIncompleteEvent):
        has_room = has_begun or bool(getattr(event.response, "output", None))
        is_cut_off = incomplete_reason(event.response) == "max_output_tokens"
        return Exceeded(is_refused=False) if is_cut_off and not has_room else None
    return None


def _as_text(body: object) -> str:
    return body if isinstance(body, str) else json.dumps(body, default=str)
