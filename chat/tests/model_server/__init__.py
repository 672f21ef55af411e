"""A loopback server that speaks the wire formats of model providers, built from the openai client's own types."""

from chat.tests.model_server.request import Api, Request
from chat.tests.model_server.script import (
    AbortedConnection,
    Answer,
    Call,
    Fault,
    HtmlPage,
    HttpError,
    Raw,
    Reasoning,
    Refusal,
    Rule,
    Step,
    Text,
    text_reply,
    tool_calls,
)
from chat.tests.model_server.server import ModelServer
from chat.tests.model_server.strict import Strictness

__all__ = [
    "Answer",
    "Api",
    "Call",
    "Fault",
    "AbortedConnection",
    "HttpError",
    "ModelServer",
    "HtmlPage",
    "Raw",
    "Reasoning",
    "Refusal",
    "Request",
    "Rule",
    "Step",
    "Strictness",
    "Text",
    "tool_calls",
    "text_reply",
]
