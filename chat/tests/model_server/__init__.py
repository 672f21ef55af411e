"""A loopback server that speaks the wire formats of model providers, built from the openai client's own types."""

from chat.tests.model_server.request import Api, Request
from chat.tests.model_server.script import (
    Answer,
    Call,
    Fault,
    Hangup,
    HttpError,
    Page,
    Raw,
    Reasoning,
    Refusal,
    Rule,
    Step,
    Text,
    calls,
    says,
)
from chat.tests.model_server.server import ModelServer
from chat.tests.model_server.strict import Strictness

__all__ = [
    "Answer",
    "Api",
    "Call",
    "Fault",
    "Hangup",
    "HttpError",
    "ModelServer",
    "Page",
    "Raw",
    "Reasoning",
    "Refusal",
    "Request",
    "Rule",
    "Step",
    "Strictness",
    "Text",
    "calls",
    "says",
]
