"""The parameter that an endpoint refuses is recognised in the endpoint's own words, and nothing else is left out."""

import json
from typing import Any

import pytest

from chat.assistant.endpoints.parameters import refused, without

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


def gemini(*messages: str) -> list[dict[str, Any]]:
    return [{"error": {"code": 400, "message": "\n".join(messages), "status": "INVALID_ARGUMENT"}}]


FORBIDDEN = "Extra inputs are not permitted"

# Where it was reported, the status, the content of the answer as the client hands it on, and what is to be left out.
REPORTED: list[tuple[str, int, object, set[str]]] = [
    (
        "https://github.com/openai/openai-python/issues/1492",
        400,
        openai_error("Unknown parameter: 'parallel_tool_calls'.", "parallel_tool_calls", "unknown_parameter"),
        {"parallel_tool_calls"},
    ),
    (
        "https://github.com/Azure/azure-rest-api-specs/issues/29545",
        400,
        openai_error("Unrecognized request argument supplied: parallel_tool_calls. Please contact us."),
        {"parallel_tool_calls"},
    ),
    (
        "https://github.com/evalstate/fast-agent/issues/279",
        400,
        openai_error("Unsupported parameter: 'parallel_tool_calls' is not supported with this model."),
        {"parallel_tool_calls"},
    ),
    (
        "https://github.com/pydantic/pydantic-ai/issues/2865",
        400,
        openai_error("Encrypted content is not supported with this model.", "include"),
        {"include"},
    ),
    (
        "https://github.com/pydantic/pydantic-ai/issues/3326",
        400,
        openai_error(
            'litellm.BadRequestError: OpenAIException - {\n  "error": {\n    "message": "Encrypted content is not '
            'supported with this model.",\n    "param": "include",\n    "code": null\n  }\n}'
        ),
        {"include"},
    ),
    (
        "https://github.com/caozhiyuan/copilot-api/issues/164",
        400,
        {
            "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "code": "invalid_request_body",
        },
        {"max_tokens"},
    ),
    (
        "https://github.com/gabrii/Cursor-Azure-GPT-5/issues/33",
        400,
        openai_error(
            "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is "
            "supported.",
            "temperature",
            "unsupported_value",
        ),
        {"temperature"},
    ),
    (
        "https://github.com/modelscope/ms-agent/issues/489",
        400,
        {
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), "
            "'msg': 'Extra inputs are not permitted', 'input': {}}]",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        {"stream_options"},
    ),
    (
        "https://github.com/Gitlawb/openclaude/issues/739",
        422,
        {
            "detail": [
                {"type": "extra_forbidden", "loc": ["body", "store"], "msg": FORBIDDEN, "input": False},
                {"type": "extra_forbidden", "loc": ["body", "max_tokens"], "msg": FORBIDDEN, "input": 100},
            ]
        },
        {"store", "max_tokens"},
    ),
    (
        "https://github.com/mistralai/platform-docs-public/issues/7",
        422,
        {
            "object": "error",
            "message": '{"detail":[{"type":"extra_forbidden","loc":["body","store"],"msg":"Extra inputs are not '
            'permitted","input":false,"url":"https://errors.pydantic.dev/2.5/v/extra_forbidden"}]}',
            "type": "internal_error_proxy",
            "param": None,
            "code": "1000",
        },
        {"store"},
    ),
    (
        "https://github.com/vllm-project/vllm/pull/10463",
        400,
        {
            "detail": [
                {"type": "extra_forbidden", "loc": ["body", "messages", 1, "assistant", "refusal"], "msg": FORBIDDEN}
            ]
        },
        {"messages.refusal"},
    ),
    (
        "https://github.com/vllm-project/vllm/issues/12864",
        400,
        openai_error(
            "1 validation error for ChatCompletionRequest\nmessages.1.assistant.refusal\n  Extra inputs are not "
            "permitted [type=extra_forbidden, input_value=None, input_type=NoneType]"
        ),
        {"messages.refusal"},
    ),
    (
        "https://github.com/ed-donner/agents/issues/45",
        400,
        gemini(
            'Invalid JSON payload received. Unknown name "metadata": Cannot find field.',
            'Invalid JSON payload received. Unknown name "store": Cannot find field.',
        ),
        {"metadata", "store"},
    ),
    (
        "https://github.com/zed-industries/zed/issues/44875",
        400,
        gemini(
            'Invalid JSON payload received. Unknown name "additionalProperties" at \'tools[0]'
            ".function_declarations[0].parameters': Cannot find field."
        ),
        {"tools.additionalProperties"},
    ),
    (
        "https://github.com/BerriAI/litellm/issues/6456",
        400,
        openai_error(
            "litellm.UnsupportedParamsError: anthropic does not support parameters: {'parallel_tool_calls': False}, "
            "for model=claude. To drop these, set `litellm.drop_params=True` or for proxy:\n\n`litellm_settings:\n "
            "drop_params: true`"
        ),
        {"parallel_tool_calls"},
    ),
    (
        "https://github.com/BerriAI/litellm/issues/13609",
        400,
        openai_error(
            'litellm.BadRequestError: BedrockException - {"message":"The model returned the following errors: '
            'metadata: Extra inputs are not permitted"}'
        ),
        {"metadata"},
    ),
    (
        "https://github.com/BerriAI/litellm/issues/7416",
        400,
        openai_error("Malformed input request: #: extraneous key [metadata] is not permitted, please reformat."),
        {"metadata"},
    ),
    (
        "https://github.com/fanenr/chatbot/issues/21",
        400,
        {"message": "property 'store' is unsupported, did you mean 'stop'?", "type": "invalid_request_error"},
        {"store"},
    ),
    (
        "https://github.com/janhq/jan/issues/8136",
        400,
        openai_error(
            "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property "
            "'reasoning_content' is unsupported)]"
        ),
        {"messages.reasoning_content"},
    ),
    (
        "https://github.com/Kilo-Org/kilocode/issues/10375",
        400,
        {
            "message": "messages.1.assistant.reasoning_content: property 'messages.1.assistant.reasoning_content' is "
            "unsupported",
            "type": "invalid_request_error",
            "param": "validation_error",
            "code": "wrong_api_format",
        },
        {"messages.reasoning_content"},
    ),
    ("a strict schema", 400, openai_error("Unknown parameter: 'tools[0].function.strict'."), {"tools.strict"}),
    ("a server in Go", 400, 'json: unknown field "store"', {"store"}),
    (
        "a server in Rust",
        422,
        "Failed to deserialize the JSON body into the target type: unknown field `store`, expected one of `messages`, "
        "`temperature`, `stream_options`",
        {"store"},
    ),
]


@pytest.mark.parametrize(("status", "error", "names"), [row[1:] for row in REPORTED], ids=[row[0] for row in REPORTED])
def test_a_refused_parameter_is_recognised(status: int, error: object, names: set[str]) -> None:
    assert refused(status, error, BODY) == names


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
def test_what_is_no_refusal_of_a_parameter_leaves_nothing_out(status: int, error: object) -> None:
    assert refused(status, error, BODY) == set()


def test_a_body_without_some_parameters_keeps_all_others() -> None:
    sent = without(BODY, ["store", "strict", "messages.refusal", "tools.title"])

    assert "store" not in sent
    assert sent["messages"][1] == {"role": "assistant", "content": "Hello", "reasoning_content": "Hm."}
    function = sent["tools"][0]["function"]
    assert function.keys() == {"name", "description", "parameters"}
    assert function["parameters"]["properties"] == {"strict": {"type": "string"}, "title": {"type": "string"}}
    assert sent["temperature"] == 0.2
    assert json.dumps(BODY).count("refusal") == 1, "what is sent is a copy"


@pytest.mark.parametrize(
    ("given", "other"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_a_limit_of_tokens_is_sent_by_its_other_name(given: str, other: str) -> None:
    assert without({given: 100}, [given]) == {other: 100}
    assert without({given: 100}, [given, other]) == {}
