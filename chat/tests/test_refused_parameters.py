"""A parameter that an endpoint refuses is recognised from its error message, and only that one is omitted."""

import json
from typing import Any

import pytest

from chat.assistant.endpoints.parameters import refused, without
from chat.tests.reported import reported

TOOL = {
    "type": "function",
    "function": {
        "name": "create_task",
        "description": "Add a task.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"strict": {"type": "string", "title": "Strict"}, "title": {"type": "string"}},
            "required": ["title"],
            "additionalProperties": False,
        },
    },
}
BODY: dict[str, Any] = {
    "model": "stub",
    "stream": True,
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello", "refusal": None, "reasoning_content": "Hm."},
    ],
    "tools": [TOOL],
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "temperature": 0.2,
    "stream_options": {"include_usage": True},
    "parallel_tool_calls": True,
    "max_tokens": 100,
    "metadata": {},
}


def openai_error(message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"message": message, "type": "invalid_request_error", "param": param, "code": code}


@pytest.mark.parametrize("report", reported("parameters"), ids=lambda report: report["where"])
def test_refused_parameter_is_recognised(report: dict[str, Any]) -> None:
    assert refused(report["status"], report["error"], BODY) == set(report["names"])


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (
            400,
            openai_error(
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the "
                "messages, 100 in the completion).",
                "messages",
                "context_length_exceeded",
            ),
        ),
        (
            400,
            openai_error("Invalid parameter: messages with role 'tool' must follow 'tool_calls'.", "messages.[2].role"),
        ),
        (400, openai_error("Missing required parameter: 'messages[1].content'.", "messages[1].content")),
        (400, openai_error("The response was filtered.", "prompt", "content_filter")),
        (400, openai_error("The content could not be verified.", "messages[1].reasoning_content", "invalid_content")),
        (400, openai_error("Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.")),
        (400, openai_error("Please include a user message; store it as text, not supported otherwise.")),
        (400, "registry.ollama.ai/library/gemma3:4b does not support tools"),
        (401, openai_error("Unknown parameter: 'store'.", "store")),
        (500, openai_error("Unknown parameter: 'store'.", "store")),
        (400, None),
        (400, {"error": {"param": 7, "loc": [["body"]], "detail": [None, 3]}}),
    ],
)
def test_other_errors_omit_no_parameter(status: int, error: object) -> None:
    assert refused(status, error, BODY) == set()


def test_body_without_some_parameters_keeps_all_others() -> None:
    sent = without(BODY, ["store", "strict", "messages.refusal", "tools.title"])

    assert "store" not in sent
    assert sent["messages"][1] == {"role": "assistant", "content": "Hello", "reasoning_content": "Hm."}
    function = sent["tools"][0]["function"]
    assert function.keys() == {"name", "description", "parameters"}
    assert function["parameters"]["properties"] == {"strict": {"type": "string"}, "title": {"type": "string"}}
    assert sent["temperature"] == 0.2
    assert json.dumps(BODY).count("refusal") == 1, "the original body is unchanged"


@pytest.mark.parametrize(
    ("given", "other"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_refused_token_limit_is_sent_by_its_other_name(given: str, other: str) -> None:
    assert without({given: 100}, [given]) == {other: 100}
    assert without({given: 100}, [given, other]) == {}
