"""What the model server is told to answer: texts, tool calls, reasoning, refusals, and every way to go wrong."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from chat.tests.model_server.request import Request

# What happens instead of the end of a streamed answer:
Fault = Literal[
    "stall",  # nothing more comes, the connection stays
    "ping",  # nothing more comes but signs of life
    "cut",  # the connection goes away
    "end",  # the stream ends politely, the answer does not
    "malformed",  # an event that is no JSON
    "failed",  # the provider says that it failed
    "refused",  # the provider says that it will not, and would not another time
    "incomplete",  # the provider says that the answer grew too long
    "overflow",  # the provider says that the context is full
]


@dataclass(frozen=True, slots=True)
class Text:
    """What the model says, as it is cut into pieces; `delay` is in seconds before each."""

    chunks: tuple[str, ...]
    delay: float = 0.0

    @property
    def whole(self) -> str:
        """All of it."""
        return "".join(self.chunks)


@dataclass(frozen=True, slots=True)
class Refusal(Text):
    """What the model says instead of an answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; arguments that are text are sent as they are, valid or not."""

    name: str
    arguments: Mapping[str, Any] | str
    call_id: str | None = None
    pieces: int = 3
    delay: float = 0.0

    @property
    def chunks(self) -> tuple[str, ...]:
        """The arguments' JSON as it is streamed."""
        size = max(1, -(-len(self.json) // self.pieces))
        return tuple(self.json[start : start + size] for start in range(0, len(self.json), size))

    @property
    def json(self) -> str:
        """The arguments as text."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought: a summary, and all of it in a form that only the provider can read."""

    encrypted: str
    summary: str = ""


Part = Text | Refusal | Call | Reasoning


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One response. A fault takes the place of everything that comes after the first `after` pieces."""

    parts: tuple[Part, ...]
    input_tokens: int = 20
    output_tokens: int = 10
    fault: Fault | None = None
    after: int = 0
    repeated_ids: bool = False  # ids begin at 0 in each response, as some providers' do


@dataclass(frozen=True, slots=True)
class HttpError:
    """An answer that is an error; `code` is the provider's own word for it."""

    status: int
    message: str = "Something went wrong."
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """A page for people, as a web server answers whose address was taken for a model's."""

    html: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """The connection goes away before a word is said."""


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as bytes, sent as they are: each piece is a chunk of the HTTP body, which may have no end."""

    pieces: tuple[bytes, ...]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    is_endless: bool = False


Step = Answer | HttpError | Hangup | Page | Raw
Rule = Callable[[Request], Awaitable[Step]]


def says(*chunks: str, delay: float = 0.0, fault: Fault | None = None, after: int = 0) -> Answer:
    """Return an answer of text alone."""
    return Answer(parts=(Text(chunks, delay),), fault=fault, after=after)


def calls(*wanted: Call, fault: Fault | None = None, after: int = 0) -> Answer:
    """Return an answer of tool calls alone."""
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
            return Hangup()
        return HttpError(**entry) if "status" in entry else _read_answer(entry)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{entry} is not a step: {error}") from None


def _read_answer(entry: dict[str, Any]) -> Answer:
    delay = float(entry.pop("delay", 0))
    parts: list[Part] = []
    if thought := entry.pop("reasoning", None):
        parts.append(Reasoning(thought))
    if refused := entry.pop("refusal", None):
        parts.append(Refusal(_chunks(refused), delay))
    if said := entry.pop("text", None):
        parts.append(Text(_chunks(said), delay))
    parts += [Call(**call, delay=delay) for call in entry.pop("calls", [])]
    if entry.get("fault") not in (None, *get_args(Fault)):
        raise ValueError(f"{entry['fault']!r} is not a fault; there are {', '.join(get_args(Fault))}.")
    return Answer(parts=tuple(parts), **entry)


def _chunks(text: str | list[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)
