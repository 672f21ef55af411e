"""Tool calls as endpoints send them: ids, names, indexes and arguments."""

from typing import Any

from chat.tests.endpoint.answers.entry import (
    ALL_RIGHT,
    CREATED,
    DONE,
    TEA,
    Both,
    Entry,
    added,
    calling,
    calls,
    chat,
    chat_calls,
    chunk,
    completed,
    done,
    event,
    function,
    items,
    message,
    response,
    says,
    stream,
    whole,
)
from chat.tests.model_server import Raw, Strictness

MILK = '{"title": "Milk"}'
SIGNATURE = "CpIBAdHtim9" * 80


def both(arguments: object = TEA, name: object = "create_task", call_id: str = "call_1") -> Both:
    """Return one call in the formats of both APIs."""
    return {
        "chat": chat_calls(calls(calling(arguments, name, id=call_id))),
        "responses": items(function(arguments, name, call_id=call_id)),
    }


def two(first: str | None, second: str | None, *indexes: int | None) -> Raw:
    """Return two calls of one completion with these ids and indexes."""
    return chat_calls(
        calls(calling(id=first, index=indexes[0])),
        calls(calling(MILK, id=second, index=indexes[1])),
    )


INDEXES = {
    "parallel calls that all have index 0": Entry(
        report="https://github.com/ollama/ollama/issues/15457",
        chat=two("call_1", "call_2", 0, 0),
        tasks=("Tea", "Milk"),
    ),
    "parallel calls in one chunk that all have index 0": Entry(
        report="https://github.com/su-kaka/gcli2api/pull/406",
        chat=chat_calls(calls(calling(id="call_1"), calling(MILK, id="call_2"))),
        tasks=("Tea", "Milk"),
    ),
    "interleaved calls": Entry(
        report="https://github.com/QwenLM/Qwen-Agent/pull/943",
        chat=chat_calls(
            calls(calling("", index=0, id="call_1")),
            calls(calling("", index=1, id="call_2")),
            calls({"index": 1, "function": {"arguments": MILK[:5]}}),
            calls({"index": 0, "function": {"arguments": TEA}}),
            calls({"index": 1, "function": {"arguments": MILK[5:]}}),
        ),
        tasks=("Tea", "Milk"),
    ),
    "a single call with index 1": Entry(
        report="https://github.com/BerriAI/litellm/issues/11407",
        chat=chat_calls(calls(calling(index=1))),
        tasks=("Tea",),
    ),
}

IDS = {
    "a call without an id": Entry(
        report="https://github.com/vllm-project/vllm/issues/18412",
        chat=chat_calls(calls(calling(id=None))),
        tasks=("Tea",),
    ),
    "null ids and names in later chunks of a call": Entry(
        report="https://github.com/sgl-project/sglang/pull/35542",
        chat=chat_calls(
            calls(calling("")),
            calls({"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": TEA}}),
        ),
        tasks=("Tea",),
    ),
    "one id for two calls": Entry(
        report="https://github.com/xorbitsai/inference/issues/4237",
        chat=two("call_1", "call_1", 0, 1),
        responses=items(function(), function(MILK, id="fc_2")),
        tasks=("Tea", "Milk"),
    ),
    "an id with a dot, a space and a colon": Entry(
        report="https://github.com/fw-ai/fireconnect/issues/16",
        **both(call_id="functions.create task:0"),
        tasks=("Tea",),
    ),
    "a Mistral id": Entry(
        report="https://github.com/editor-code-assistant/eca/issues/233",
        chat=chat_calls(calls(calling(id="b9mgIC84m"))),
        tasks=("Tea",),
        strict=Strictness(call_ids="mistral"),
    ),
    "a repeated Mistral id": Entry(
        report="https://github.com/NousResearch/hermes-agent/pull/11722",
        chat=two("b9mgIC84m", "b9mgIC84m", 0, 1),
        tasks=("Tea", "Milk"),
        strict=Strictness(call_ids="mistral"),
    ),
    "a thought signature in a call": Entry(
        report="https://github.com/securo-finance/securo/issues/884",
        chat=chat_calls(calls(calling(extra_content={"google": {"thought_signature": SIGNATURE}}))),
        tasks=("Tea",),
        model="gemini-3-flash",
        strict=Strictness(signatures=True),
    ),
    "a thought signature from a model with another name": Entry(
        report="https://github.com/labring/aiproxy/issues/450",
        chat=chat_calls(calls(calling(extra_content={"google": {"thought_signature": SIGNATURE}}))),
        tasks=("Tea",),
        strict=Strictness(signatures=True),
    ),
    "a call without an item id": Entry(
        report="https://github.com/earendil-works/pi/issues/9057",
        responses=items(function(id=None), function(MILK, id=None, call_id="call_2")),
        tasks=("Tea", "Milk"),
    ),
    "an item id that is null": Entry(
        report="https://github.com/vllm-project/vllm/pull/44608",
        responses=items(function() | {"id": None}),
        tasks=("Tea",),
    ),
    "an item id over the length limit": Entry(
        report="https://github.com/caozhiyuan/copilot-api/issues/307",
        responses=items(function(id="fc_" + "x" * 400)),
        tasks=("Tea",),
    ),
    "different ids in the response and in the events": Entry(
        report="https://github.com/vllm-project/vllm/pull/47916",
        responses=stream(
            CREATED, added(function("")), done(function()), completed(function(id="fc_9", call_id="call_9"))
        ),
        tasks=("Tea",),
    ),
}

NAMES = {
    "an empty name": Entry(
        report="https://github.com/continuedev/continue/issues/11645",
        **both("{}", ""),
    ),
    "a name with a token of the model's format": Entry(
        report="https://github.com/vllm-project/vllm/issues/32587",
        **both(name="create_task<|channel|>commentary"),
        tasks=None,
    ),
    "the name in every chunk": Entry(
        report="https://github.com/NousResearch/hermes-agent/pull/12230",
        chat=chat_calls(calls(calling(TEA[:6])), calls(calling(TEA[6:]))),
        tasks=("Tea",),
    ),
    "the name after the arguments": Entry(
        report="https://github.com/vercel/ai/pull/14760",
        chat=chat_calls(
            calls({"index": 0, "id": "call_1", "type": "function", "function": {"arguments": TEA}}),
            calls({"index": 0, "function": {"name": "create_task"}}),
        ),
        tasks=("Tea",),
    ),
}

ARGUMENTS = {
    "arguments cut off by the length limit": Entry(
        report="https://github.com/XpressAI/xaibo/pull/33",
        chat=chat(calls(calling('{"title": "Te')), finish="length"),
        reply=None,
    ),
    "a duplicate key in the arguments": Entry(
        report="https://github.com/ggml-org/llama.cpp/pull/19753",
        **both('{"title": "Tea", "title": "Milk"}'),
    ),
    "arguments that are an object": Entry(
        report="https://github.com/agno-agi/agno/pull/10240",
        **both({"title": "Tea"}),
        tasks=None,
    ),
    "arguments that are null": Entry(
        report="https://github.com/1jehuang/jcode/issues/225",
        **both(None),
    ),
    "empty arguments for a call that needs none": Entry(
        report="https://github.com/anthropics/anthropic-sdk-csharp/pull/173",
        **both("", "list_tasks"),
    ),
    "arguments with a NUL": Entry(
        report="https://github.com/opensanctions/poliloom/issues/138",
        **both('{"title": "Te\\u0000a"}'),
        tasks=None,
    ),
}

TOO_LONG, FILTERED = "grew too long", "refuses to answer"


def incomplete(reason: str) -> dict[str, Any]:
    """Return the fields of a response that ends early."""
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


# None of these calls is run: the rest of the model's answer is unknown.
CUT_OFF = {
    "a complete call before the length limit": Entry(
        report="https://github.com/OpenRouterTeam/typescript-agent/pull/125",
        chat=chat(calls(calling()), finish="length"),
        responses=stream(
            CREATED,
            added(function("")),
            done(function()),
            event("incomplete", response=response(function(), **incomplete("max_output_tokens"))),
        ),
        reply="",
        failure=TOO_LONG,
    ),
    "a complete call only in the incomplete response": Entry(
        report="https://github.com/OpenRouterTeam/typescript-agent/pull/125",
        responses=stream(
            CREATED, event("incomplete", response=response(function(), **incomplete("max_output_tokens")))
        ),
        reply="",
        failure=TOO_LONG,
    ),
    "a call in an answer ended by a content filter": Entry(
        report="https://github.com/2389-research/tracker/issues/542",
        chat=chat(says("One moment."), calls(calling()), finish="content_filter"),
        responses=stream(
            CREATED,
            added(function("")),
            done(function()),
            event("incomplete", response=response(function(), **incomplete("content_filter"))),
        ),
        reply="",
        failure=FILTERED,
    ),
    "a call in a response with status incomplete": Entry(
        report="https://github.com/NVIDIA-NeMo/Gym/pull/2628",
        responses=stream(
            CREATED,
            done(function()),
            completed(function(), **incomplete("content_filter")),
        ),
        reply="",
        failure=FILTERED,
    ),
    "a call with status incomplete": Entry(
        report="https://github.com/aaif-goose/goose/pull/10831",
        responses=items(function(status="incomplete")),
    ),
}

SHAPES = {
    "calls with finish reason stop": Entry(
        report="https://github.com/BerriAI/litellm/issues/12862",
        chat=chat(calls(calling())),
        tasks=("Tea",),
    ),
    "calls in a stream without a finish reason": Entry(
        report="https://github.com/openclaw/openclaw/pull/98575",
        chat=stream(chunk(calls(calling())), end=DONE),
        tasks=None,
    ),
    "finish reason tool_calls with an empty list of calls": Entry(
        report="https://github.com/vllm-project/vllm/issues/53255",
        chat=chat_calls({"content": "Hello.", "tool_calls": []}),
        reply="Hello.",
    ),
    "a legacy function_call": Entry(
        report="https://github.com/QwenLM/qwen-code/pull/6240",
        chat=chat({"function_call": {"name": "create_task", "arguments": TEA}}, finish="function_call"),
        reply=None,
        tasks=None,
    ),
    "empty deltas that announce a call": Entry(
        report="https://github.com/jjang-ai/vmlx/issues/219",
        chat=chat_calls({"tool_call_generating": True}, {}, calls(calling())),
        tasks=("Tea",),
    ),
    "the call id inside the function object": Entry(
        report="https://github.com/ggml-org/llama.cpp/pull/13800",
        chat=chat_calls(
            calls({"index": 0, "function": {"id": "call_1", "name": "create_task", "arguments": ""}}),
            calls({"index": 0, "function": {"id": "call_1", "name": "create_task", "arguments": TEA}}),
        ),
        tasks=("Tea",),
    ),
    "a call, and an error after its output": Entry(
        report="https://github.com/NousResearch/hermes-agent/issues/20154",
        chat=chat_calls(calls(calling(id="b9mgIC84m"))),
        then=(whole({"object": "error", "message": "Something else.", "code": "1000"}, 400),),
        reply="",
        tasks=("Tea",),
        strict=Strictness(call_ids="mistral"),
    ),
    "text before and after a call": Entry(
        report="https://github.com/continuedev/continue/issues/11994",
        chat=chat_calls(says("One moment."), calls(calling()), says(" So.")),
        responses=items(message("One moment."), function(), message(" So.", id="msg_2")),
        reply=f"One moment. So.\n\n{ALL_RIGHT}",
        tasks=("Tea",),
    ),
    "arguments only in the done event": Entry(
        report="https://github.com/lidge-jun/opencodex/pull/4652",
        responses=items(function(status=None)),
        tasks=("Tea",),
    ),
}
CALLS = INDEXES | IDS | NAMES | ARGUMENTS | CUT_OFF | SHAPES
