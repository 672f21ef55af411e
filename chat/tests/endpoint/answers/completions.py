"""Chunks of Chat Completions as endpoints send them: choices, deltas, usage, finish reasons, reasoning."""

from chat.tests.endpoint.answers.entry import (
    ALL_RIGHT,
    DONE,
    USAGE,
    Entry,
    bare,
    calling,
    calls,
    chat,
    chat_calls,
    chunk,
    says,
    stream,
    whole,
)
from chat.tests.model_server import Raw, Strictness

ROLE = chunk({"role": "assistant", "content": ""})
HELLO = chunk(says("Hello."))
STOP = chunk(finish="stop")
WHOLE = {"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}
PART = {"prompt_tokens": 11, "total_tokens": 11}
SAFE = {"hate": {"filtered": False, "severity": "safe"}}


def finishing(reason: object, *deltas: object) -> Raw:
    """Return a stream with a finish reason."""
    return stream(ROLE, *map(chunk, deltas), bare(choices=[{"index": 0, "delta": {}, "finish_reason": reason}]))


CHUNKS = {
    "a first chunk without choices": Entry(
        report="https://github.com/AbanteAI/archive-old-cli-mentat/issues/429",
        chat=stream(
            bare(id="", model="", object="", created=0, choices=[], prompt_filter_results=[SAFE]),
            ROLE,
            HELLO,
            STOP,
            end=DONE,
        ),
        reply="Hello.",
    ),
    "a choice without a delta": Entry(
        report="https://github.com/langchain-ai/langchain/issues/18977",
        chat=stream(
            ROLE,
            HELLO,
            STOP,
            bare(id="", choices=[{"index": 0, "finish_reason": None, "content_filter_results": SAFE}]),
            end=DONE,
        ),
        reply="Hello.",
    ),
    "a first chunk without role and content": Entry(
        report="https://github.com/heurist-network/miner-release/pull/18",
        chat=stream(chunk({"content": None}), HELLO, STOP, end=DONE),
        reply="Hello.",
    ),
    "an empty role": Entry(
        report="https://github.com/anomalyco/opencode/issues/28427",
        chat=chat({"role": "", "content": "Hello."}),
        reply="Hello.",
    ),
    "no id, and a fractional timestamp": Entry(
        report="https://github.com/kevinhermawan/swift-llm-chat-openai/pull/19",
        chat=stream(HELLO | {"id": None, "created": 1.5, "model": None}, STOP | {"id": None}, end=DONE),
        reply="Hello.",
    ),
    "several choices": Entry(
        report="https://github.com/openai/openai-agents-python/issues/3313",
        chat=stream(
            ROLE,
            HELLO,
            bare(choices=[{"index": 1, "delta": says("Good day."), "finish_reason": None}]),
            STOP,
            end=DONE,
        ),
        reply=None,
    ),
    "infinite log probabilities": Entry(
        report="https://github.com/sgl-project/sglang/pull/20323",
        chat=stream(
            ROLE,
            bare(
                choices=[
                    {
                        "index": 0,
                        "delta": says("Hello."),
                        "logprobs": {"content": [{"token": "Hello", "logprob": float("-inf"), "top_logprobs": []}]},
                        "finish_reason": None,
                    }
                ]
            ),
            STOP,
            end=DONE,
        ),
        reply=None,
    ),
    "two finish reasons": Entry(
        report="https://github.com/xusenlinzy/api-for-open-llm/issues/193",
        chat=stream(ROLE, HELLO, chunk(finish="function_call"), STOP, end=DONE),
        reply="Hello.",
    ),
    "a complete message instead of a delta": Entry(
        report="https://github.com/decolua/9router/issues/3492",
        chat=stream(bare(choices=[WHOLE]), end=DONE),
        reply=None,
    ),
    "a complete answer to a streaming request": Entry(
        report="https://github.com/Amm1rr/WebAI-to-API/issues/55",
        chat=whole(
            bare(
                object="chat.completion",
                choices=[WHOLE],
                usage=USAGE,
            )
        ),
        reply="Hello.",
    ),
}

USAGES = {
    "usage without numbers": Entry(
        report="https://github.com/openai/openai-agents-python/issues/1179",
        chat=stream(ROLE, HELLO, STOP, bare(choices=[], usage=dict.fromkeys(USAGE)), end=DONE),
        reply="Hello.",
    ),
    "partial usage": Entry(
        report="https://github.com/theopenco/llmgateway/pull/2861",
        chat=stream(ROLE, HELLO | {"usage": {"prompt_tokens_details": {"cached_tokens": 0}}}, STOP, end=DONE),
        reply="Hello.",
    ),
    "usage in every chunk": Entry(
        report="https://github.com/vercel/ai/issues/2763",
        chat=stream(*(piece | {"usage": PART} for piece in (ROLE, HELLO, STOP)), end=DONE),
        reply="Hello.",
    ),
    "usage outside the database's range": Entry(
        report="https://github.com/spring-projects/spring-ai/pull/6785",
        chat=stream(ROLE, HELLO, STOP, bare(choices=[], usage=dict.fromkeys(USAGE, 2**31)), end=DONE),
        reply="Hello.",
    ),
    "no usage": Entry(
        report="https://github.com/fr0ster/llm-agent/issues/39",
        chat=stream(ROLE, HELLO | {"usage": None}, STOP | {"usage": None}, end=DONE),
        reply="Hello.",
    ),
}

FINISHES = {
    "no finish reason": Entry(
        report="https://github.com/anomalyco/opencode/issues/43882",
        chat=stream(ROLE, HELLO, end=DONE),
        reply=None,
    ),
    "the text null as finish reason": Entry(
        report="https://github.com/PowerShell/AIShell/issues/350",
        chat=stream(chunk(says("Hel"), finish="null"), chunk(says("lo."), finish="null"), STOP, end=DONE),
        reply="Hello.",
    ),
    "a finish reason without [DONE]": Entry(
        report="https://github.com/ikawrakow/ik_llama.cpp/issues/467",
        chat=stream(ROLE, HELLO, STOP),
        reply="Hello.",
    ),
    "the length limit reached before any text": Entry(
        report="https://github.com/ModelEngine-Group/nexent/pull/3688",
        chat=finishing("length"),
        reply="",
    ),
    "an answer withheld by a content filter": Entry(
        report="https://github.com/promptfoo/promptfoo/pull/2822",
        chat=finishing("content_filter"),
        reply=None,
    ),
    "an answer withheld by a content filter, with an empty refusal": Entry(
        report="https://github.com/Azure-Samples/azure-search-openai-demo/issues/2076",
        chat=finishing("content_filter", {"content": None, "refusal": ""}),
        reply=None,
    ),
    "an answer cut off by a content filter": Entry(
        report="https://github.com/experientiallabs/experiential/pull/962",
        chat=finishing("content_filter", says("Hel")),
        reply=None,
    ),
    "an empty answer": Entry(
        report="https://github.com/earendil-works/pi/issues/8462",
        chat=chat(),
        reply=None,
    ),
}

CONTENT = {
    "a list of parts with references": Entry(
        report="https://github.com/meilisearch/meilisearch/pull/6327",
        chat=chat(says([{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "Hello."}])),
        reply="Hello.",
    ),
    "reasoning": Entry(
        report="https://github.com/NVIDIA/TensorRT-LLM/issues/9256",
        chat=chat({"content": "", "reasoning": "They greet."}, says("Hello.")),
        reply="Hello.",
    ),
    "reasoning only": Entry(
        report="https://github.com/modelscope/ms-swift/pull/9881",
        chat=chat({"content": None, "reasoning_content": "They greet."}),
        reply=None,
    ),
    "reasoning before a call, for an endpoint that requires it back": Entry(
        report="https://github.com/JohnnyZ93/oai-compatible-copilot/issues/215",
        chat=chat_calls({"content": None, "reasoning_content": "They want tea."}, calls(calling())),
        tasks=("Tea",),
        strict=Strictness(reasoning="required"),
    ),
    "reasoning in think tags": Entry(
        report="https://github.com/bytedance/deer-flow/pull/3218",
        chat=chat(says("<think>They greet.</think>\n\nHello.")),
        reply="Hello.",
    ),
    "reasoning in think tags before a call": Entry(
        report="https://github.com/QwenLM/qwen-code/pull/6033",
        chat=chat_calls(says("<think>They want tea.</think>"), calls(calling())),
        reply=ALL_RIGHT,
        tasks=("Tea",),
    ),
    "a surrogate pair split across deltas": Entry(
        report="https://github.com/elizaOS/eliza/pull/30919",
        chat=chat(says("Tea \ud83c"), says("\udf75 Done.")),
        reply="Tea 🍵 Done.",
    ),
}

COMPLETIONS = CHUNKS | USAGES | FINISHES | CONTENT
