"""The error messages of model endpoints for an exceeded context are parsed, with their token counts."""

from typing import Any

import httpx2
import openai
import pytest
from agents import ModelBehaviorError

from chat.assistant.endpoints.context_errors import Exceeded, read_error, read_wording
from chat.tests.reported import reported

OTHER_ERRORS = [
    "Incorrect API key provided: sk-1.",
    "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 1200.",
    "max_tokens is too large: 20000. This model supports at most 16384 completion tokens.",
    "Invalid value for 'content': expected a string, got null.",
    "The model `x` does not exist.",
]


@pytest.mark.parametrize("report", reported("context_errors"), ids=lambda report: report["where"])
def test_reported_context_error_is_parsed(report: dict[str, Any]) -> None:
    assert read_wording(report["text"]) == Exceeded(report["limit"], report["asked"])


@pytest.mark.parametrize("text", OTHER_ERRORS)
def test_other_error_is_not_taken_for_a_context_error(text: str) -> None:
    assert read_wording(text) is None


def status_error(status: int, body: object, message: str = "Error") -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://127.0.0.1/v1/responses")
    return openai.APIStatusError(message, response=httpx2.Response(status, request=request), body=body)


@pytest.mark.parametrize(
    ("error", "exceeded"),
    [
        (
            status_error(400, {"type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}),
            Exceeded(8192, 9000),
        ),
        (status_error(413, None, "<html>Request Entity Too Large</html>"), Exceeded()),
        (status_error(401, {"message": "context_length_exceeded"}), None),
        (
            ModelBehaviorError("Chat Completions stream terminated with finish_reason='length' but produced nothing"),
            Exceeded(is_refused=False),
        ),
        (ModelBehaviorError("Tool x not found"), None),
        (ValueError("context_length_exceeded"), None),
    ],
)
def test_error_is_classified_by_status_and_body(error: Exception, exceeded: Exceeded | None) -> None:
    assert read_error(error) == exceeded


def test_absurdly_large_token_count_is_ignored() -> None:
    assert read_wording(f"maximum context length is {'9' * 5000} tokens") == Exceeded()
