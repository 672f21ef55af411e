"""The answers of the model server: text, tool calls, reasoning, refusals, and every kind of failure."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from chat.tests.model_server.request import Request

# What happens instead of the end of a streamed answer:
Fault = Literal[
    "stall",  # no more data, the connection stays open
    "ping",  # no more data but keep-alive comments
    "cut",  # the connection is aborted
    "end",  # the HTTP response ends properly, the answer is incomplete
    "malformed",  # an event that is not JSON
    "failed",  # the provider reports an error
    "refused",  # the provider reports that it refuses the request for good
    "incomplete",  # the provider reports that the answer is too long
    "overflow",  # the provider reports that the context is full
]


@dataclass(frozen=True, slots=True)
class Text:
    """Text of the model, as the pieces of a stream; `delay` is in seconds before each."""

    chunks: tuple[str, ...]
    delay: float = 0.0

    @property
    def whole(self) -> str:
        """The complete text."""
        return "".join(self.chunks)


@dataclass(frozen=True, slots=True)
class Refusal(Text):
    """Text by which the model refuses to answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; arguments that are text are sent unchanged, valid or not."""

    name: str
    arguments: Mapping[str, Any] | str
    call_id: str | None = None
    pieces: int = 3
    delay: float = 0.0

    @property
    def chunks(self) -> tuple[str, ...]:
        """The pieces in which the arguments' JSON is streamed."""
        size = max(1, -(-len(self.json) // self.pieces))
        return tuple(self.json[start : start + size] for start in range(0, len(self.json), size))

    @property
    def json(self) -> str:
        """The arguments as text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Reasoning of the model: a summary, and the full text in a form that only the provider can read."""

    encrypted: str
    summary: str = ""


Part = Text | Refusal | Call | Reasoning


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response. A fault replaces everything after the first `after` pieces."""

    parts: tuple[Part, ...]
    input_tokens: int = 20
    output_tokens: int = 10
    fault: Fault | None = None
    after: int = 0
    repeated_ids: bool = False  # ids start at 0 in each response, as those of some providers do


@dataclass(frozen=True, slots=True)
class HttpError:
    """An error response; `code` is the provider's error code."""

    status: int
    message: str = "Something went wrong."
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """An HTML page, as a web server returns if its URL is configured as the model's."""

    html: str


@dataclass(frozen=True, slots=True)
class AbortedConnection:
    """The connection is aborted before the response."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as raw bytes: each piece is a chunk of the HTTP body, which may never end."""

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_endless: bool = False


Step = Answer | HttpError | AbortedConnection | HtmlPage | Raw
Rule = Callable[[Request], Awaitable[Step]]


def text_reply(*chunks: str, delay: float = 0.0, fault: Fault | None = None, after: int = 0) -> Answer:
    """Return an answer with only text."""
    return Answer(parts=(Text(chunks, delay),), fault=fault, after=after)


def tool_calls(*wanted: Call, fault: Fault | None = None, after: int = 0) -> Answer:
    """Return an answer with only tool calls."""
    return Answer(parts=wanted, fault=fault, after=after)


def read_script(text: str) -> list[Step]:
    """Read steps from JSON: a list of objects. Raise ValueError.

    An answer: {"text": "…" or ["…", …], "refusal": the same, "calls": [{"name", "arguments"}], "reasoning": "…",
    "delay": seconds, "input_tokens", "output_tokens", "fault", "after", "repeated_ids"}; an error: {"status": 429,
    "message", "code", "headers"}; {"hangup": true}.
    """
    data = json.loads(text)
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise ValueError("A script is a list of objects.")
    return [_read_step(entry) for entry in data]


def _read_step(entry: dict[str, Any]) -> Step:
    try:
        if entry.pop("hangup", False):
            return AbortedConnection()
        return HttpError(**entry) if "status" in entry else _read_answer(entry)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{entry} is not a step: {error}") from None


def _read_answer(entry: dict[str, Any]) -> Answer:
    delay = float(entry.pop("delay", 0))
    parts: list[Part] = []
    if reasoning := entry.pop("reasoning", None):
        parts.append(Reasoning(reasoning))
    if refusal := entry.pop("refusal", None):
        parts.append(Refusal(_chunks(refusal), delay))
    if text := entry.pop("text", None):
        parts.append(Text(_chunks(text), delay))
    parts += [Call(**call, delay=delay) for call in entry.pop("calls", [])]
    if entry.get("fault") not in (None, *get_args(Fault)):
        raise ValueError(f"{entry['fault']!r} is not a fault; there are {', '.join(get_args(Fault))}.")
    return Answer(parts=tuple(parts), **entry)


def _chunks(text: str | list[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)
