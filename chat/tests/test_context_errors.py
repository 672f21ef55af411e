"""Each endpoint's wording for an exceeded context is recognised, with the numbers in it."""

import httpx2
import openai
import pytest
from agents import ModelBehaviorError

from chat.assistant.endpoints.context_errors import Exceeded, read_error, read_wording

GITHUB = "https://github.com/"

# Where it was reported, the text, the limit and the request's size in tokens.
REPORTED: list[tuple[str, str, int | None, int | None]] = [
    (
        "crewAIInc/crewAI-examples/issues/121",
        "{'message': \"This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 "
        "tokens. Please reduce the length of the messages.\", 'code': 'context_length_exceeded'}",
        8192,
        8227,
    ),
    (
        "dyad-sh/dyad/issues/1672",
        '{"type":"invalid_request_error","code":"context_length_exceeded","message":"Your input exceeds the context '
        'window of this model. Please adjust your input and try again.","param":"input"}',
        None,
        None,
    ),
    (
        "vllm-project/vllm/issues/20409",
        "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens (9591 in the "
        "messages, 10000 in the completion). Please reduce the length of the messages or completion. None",
        16384,
        19591,
    ),
    ("vllm-project/vllm/issues/4667", "max_tokens must be at least 1, got -186.", None, None),
    (
        "xorbitsai/inference/issues/3785",
        "The decoder prompt (length 17772) is longer than the maximum model length of 16384.",
        16384,
        17772,
    ),
    (
        "vllm-project/vllm/issues/12165",
        "The prompt (total length 25938) is too long to fit into the model (context length 4096).",
        4096,
        25938,
    ),
    (
        "OpenRouterTeam/openrouter-examples/issues/10",
        "This model's maximum context length is 8192 tokens, however you requested 8977 tokens (8977 in your prompt; "
        "0 for the completion).",
        8192,
        8977,
    ),
    (
        "topoteretes/cognee/issues/1061",
        '{"error":{"message":"This endpoint\'s maximum context length is 16384 tokens. However, you requested about '
        '94307 tokens (94307 of text input). Please reduce the length of either one","code":400}}',
        16384,
        94307,
    ),
    (
        "ggml-org/llama.cpp/issues/19774",
        '{"code":400,"message":"request (4390 tokens) exceeds the available context size (4096 tokens), try '
        'increasing it","type":"exceed_context_size_error","n_prompt_tokens":4390,"n_ctx":4096}',
        4096,
        4390,
    ),
    (  # LiteLLM in front of llama.cpp, Chat Completions
        "",
        "litellm.BadRequestError: OpenAIException - request (7032 tokens) exceeds the available context size (2048 "
        "tokens), try increasing it. Received Model Group=smol\\nAvailable Model Group Fallbacks=None",
        2048,
        7032,
    ),
    (  # the same, Responses
        "",
        'OpenAIException - {\\"error\\":{\\"code\\":400,\\"message\\":\\"request (2048 tokens) exceeds the available '
        'context size (2048 tokens), try increasing it\\"',
        2048,
        2048,
    ),
    (
        "oobabooga/textgen/issues/7257",
        "{'code': 400, 'message': 'the request exceeds the available context size. try increasing the context size or "
        "enable context shift', 'type': 'exceed_context_size_error', 'n_prompt_tokens': 14429, 'n_ctx': 8192}",
        8192,
        14429,
    ),
    (
        "ggml-org/llama.cpp/issues/19774",
        '{"code":500,"message":"Context size has been exceeded.","type":"server_error"}',
        None,
        None,
    ),
    ("fedora-copr/logdetective-website/pull/193", "Requested tokens (2285) exceed context window of 2048", 2048, 2285),
    (
        "lmstudio-ai/lmstudio-bug-tracker/issues/546",
        "Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded with context "
        "length of only 32768 tokens, which is not enough.",
        32768,
        111490,
    ),
    ("anomalyco/opencode/issues/11141", "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)", 7424, 15028),
    (
        "lmstudio-ai/lmstudio-bug-tracker/issues/1251",
        "Reached context length of 4096 tokens with model (arch: qwen3vlmoe) that does not currently support "
        "mid-generation context overflow.",
        4096,
        None,
    ),
    (
        "anthropics/claude-code/issues/12186",
        '{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"}',
        200000,
        208310,
    ),
    (
        "docker/docker-agent/issues/569",
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length",
        200000,
        178959,
    ),
    (
        "kortix-ai/suna/issues/217",
        'litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicError - b\'{\\"type\\":\\"error\\",'
        '\\"message\\":\\"prompt is too long: 205668 tokens > 200000 maximum\\"}\'',
        200000,
        205668,
    ),
    ("anthropics/claude-code/issues/760", "Input is too long for requested model.", None, None),
    (
        "google-gemini/gemini-cli/issues/6678",
        "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
        1048576,
        1200293,
    ),
    (
        "huggingface/text-generation-inference/issues/628",
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1244 `inputs` tokens and "
        "1000 `max_new_tokens`",
        2048,
        1244,
    ),
    (
        "huggingface/text-generation-inference/issues/695",
        "`inputs` must have less than 1024 tokens. Given: 1168.",
        1024,
        1168,
    ),
    (
        "cline/cline/issues/995",
        "Request body too large for meta-llama-3-70b-instruct model. Max size: 8000 tokens.",
        8000,
        None,
    ),
    (
        "continuedev/continue/issues/10218",
        "Request too large for model `llama-3.3-70b-versatile` in organization `org_x` service tier `on_demand` on "
        "tokens per minute (TPM): Limit 12000, Requested 14137, please reduce your message size and try again.",
        12000,
        14137,
    ),
    (
        "OpenHands/OpenHands/issues/1902",
        "{'message': 'Please reduce the length of the messages or completion.', 'code': 'context_length_exceeded'}",
        None,
        None,
    ),
    (
        "cline/cline/issues/3120",
        "This model's maximum prompt length is 131072 but the request contains 136973 tokens.",
        131072,
        136973,
    ),
    (
        "QwenLM/Qwen3/issues/1321",
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
        40960,
        61709,
    ),
    (
        "sgl-project/sglang/issues/4048",
        "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens).",
        59862,
        160062,
    ),
    ("langgenius/dify/issues/32221", "Input length 203743 exceeds the maximum length 202752", 202752, 203743),
    (
        "QwenLM/qwen-code/issues/98",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 204800]",
        204800,
        None,
    ),
    # Of these only public tests of other clients were found.
    (
        "",
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        32768,
        40000,
    ),
    ("", "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)", 262144, 291351),
    ("", "prompt too long; exceeded max context length by 4096 tokens", None, None),
    ("", "the input length exceeds the context length", None, None),
    ("", "Prompt exceeds max length", None, None),
    ("", "Prompt has 300,000 tokens, but the configured context size is 131,072 tokens", 131072, 300000),
]

OTHERS = [
    "Incorrect API key provided: sk-1.",
    "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested 1200.",
    "max_tokens is too large: 20000. This model supports at most 16384 completion tokens.",
    "Invalid value for 'content': expected a string, got null.",
    "The model `x` does not exist.",
]


@pytest.mark.parametrize(("where", "text", "limit", "asked"), REPORTED)
def test_a_reported_wording_is_read(where: str, text: str, limit: int | None, asked: int | None) -> None:
    assert read_wording(text) == Exceeded(limit, asked), GITHUB + where


@pytest.mark.parametrize("text", OTHERS)
def test_another_error_is_not_taken_for_it(text: str) -> None:
    assert read_wording(text) is None


def refused(status: int, body: object, message: str = "Error") -> openai.APIStatusError:
    request = httpx2.Request("POST", "http://127.0.0.1/v1/responses")
    return openai.APIStatusError(message, response=httpx2.Response(status, request=request), body=body)


@pytest.mark.parametrize(
    ("error", "exceeded"),
    [
        (
            refused(400, {"type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}),
            Exceeded(8192, 9000),
        ),
        (refused(413, None, "<html>Request Entity Too Large</html>"), Exceeded()),
        (refused(401, {"message": "context_length_exceeded"}), None),
        (
            ModelBehaviorError("Chat Completions stream terminated with finish_reason='length' but produced nothing"),
            Exceeded(is_refused=False),
        ),
        (ModelBehaviorError("Tool x not found"), None),
        (ValueError("context_length_exceeded"), None),
    ],
)
def test_an_error_is_read_with_its_status_and_body(error: Exception, exceeded: Exceeded | None) -> None:
    assert read_error(error) == exceeded


def test_a_number_that_is_no_number_of_tokens_is_not_read() -> None:
    assert read_wording(f"maximum context length is {'9' * 5000} tokens") == Exceeded()
