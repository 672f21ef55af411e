"""Events of the Responses API as endpoints send them: missing, empty, unknown and duplicate."""

from chat.tests.endpoint.answers.entry import (
    CREATED,
    DONE,
    Entry,
    added,
    completed,
    delta,
    done,
    event,
    function,
    items,
    message,
    response,
    stream,
    whole,
)

HELLO = message("Hello.")
REASONING = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
LONG = "x" * 192
WITHOUT_OUTPUT = {key: value for key, value in response().items() if key != "output"}
MILK = function('{"title": "Milk"}', id="fc_2", call_id="call_2")
FILTERED = response(status="incomplete", incomplete_details={"reason": "content_filter"})

EVENTS = {
    "a call only in the completed response": Entry(
        report="https://github.com/NVIDIA-NeMo/Switchyard/pull/777",
        responses=stream(CREATED, completed(function())),
        tasks=("Tea",),
    ),
    "an item without deltas that the response omits": Entry(
        report="https://github.com/BerriAI/litellm/pull/32724",
        responses=stream(CREATED, done(HELLO), completed()),
        reply="Hello.",
    ),
    "a call that the response omits": Entry(
        report="https://github.com/QuantumNous/new-api/issues/4362",
        responses=stream(CREATED, added(function("")), done(function()), completed()),
        tasks=("Tea",),
    ),
    "deltas only": Entry(
        report="https://github.com/vllm-project/vllm/pull/30223",
        responses=stream(CREATED, delta("Hel"), delta("lo."), completed()),
        reply=None,
    ),
    "a response without the output field": Entry(
        report="https://github.com/ENTERPILOT/GoModel/pull/831",
        responses=stream(CREATED, delta("Hello."), done(HELLO), event("completed", response=WITHOUT_OUTPUT)),
        reply="Hello.",
    ),
    "unknown events": Entry(
        report="https://github.com/OpenRouterTeam/python-sdk/issues/266",
        responses=stream(
            CREATED,
            {"type": "codex.rate_limits", "plan_type": "plus"},
            event("keep_alive"),
            delta("Hello."),
            done(HELLO),
            completed(HELLO),
        ),
        reply="Hello.",
    ),
    "events without their fields": Entry(
        report="https://github.com/diegosouzapw/OmniRoute/issues/14330",
        responses=stream(
            'data: {"type":"response.in_progress"}\n\n',
            'data: {"type":"response.output_text.delta","delta":"Hello."}\n\n',
            done(HELLO),
            completed(HELLO),
        ),
        reply="Hello.",
    ),
    "a response without id, model and time": Entry(
        report="https://github.com/Oaklight/llm-rosetta/issues/56",
        responses=stream(
            delta("Hello."),
            event("completed", response={"status": "completed", "output": [HELLO], "usage": None}),
        ),
        reply="Hello.",
    ),
    "no usage": Entry(
        report="https://github.com/LionSR/TeXRA/pull/1857",
        responses=stream(CREATED, delta("Hello."), done(HELLO), completed(HELLO, usage=None)),
        reply="Hello.",
    ),
    "a Chat Completions [DONE] at the end": Entry(
        report="https://github.com/UOR-Foundation/uor-r4/pull/692",
        responses=stream(CREATED, delta("Hello."), done(HELLO), completed(HELLO), end=DONE),
        reply="Hello.",
    ),
    "a complete answer to a streaming request": Entry(
        report="https://github.com/tinyhumansai/tinyagents/pull/56",
        responses=whole(response(HELLO)),
        reply="Hello.",
    ),
    "a complete answer with a call": Entry(
        report="https://github.com/tinyhumansai/tinyagents/pull/56",
        responses=whole(response(function())),
        tasks=("Tea",),
    ),
    "no completed event": Entry(
        report="https://github.com/caozhiyuan/copilot-api/issues/307",
        responses=stream(CREATED, added(HELLO | {"content": []}), delta("Hel")),
    ),
}

ITEMS = {
    "an unknown item": Entry(
        report="https://github.com/Menci/Floway/pull/248",
        responses=items({"id": "cm_1", "type": "program", "fingerprint": "f"}, message("Hello.", id="msg_2")),
        reply="Hello.",
    ),
    "an empty message before a call": Entry(
        report="https://github.com/vllm-project/vllm/pull/29947",
        responses=items(HELLO | {"content": []}, function()),
        tasks=("Tea",),
    ),
    "an empty response id": Entry(
        report="https://github.com/inferencerlabs/inferencer-feedback/issues/42",
        responses=stream(CREATED, delta("Hello."), done(HELLO), completed(HELLO, id="", object="")),
        reply="Hello.",
    ),
    "neither indexes nor ids": Entry(
        report="https://github.com/ggml-org/llama.cpp/issues/20607",
        responses=stream(
            CREATED,
            event("output_item.added", item=function("", id=None)),
            event("output_item.done", item=function(id=None)),
            completed(function(id=None)),
        ),
        tasks=("Tea",),
    ),
    "other ids in the deltas than in the item, over the length limit": Entry(
        report="https://github.com/databricks/unity-gateway/issues/99",
        responses=stream(
            CREATED,
            added(HELLO),
            delta("Hello.", item_id=f"msg_{LONG}"),
            done(HELLO),
            completed(HELLO, id=f"resp_{LONG}"),
        ),
        reply="Hello.",
    ),
    "reasoning without a summary": Entry(
        report="https://github.com/newo-ether/Agora/issues/141",
        responses=items({"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAA"}, HELLO),
        reply="Hello.",
    ),
    "reasoning with null content": Entry(
        report="https://github.com/vllm-project/vllm/pull/24788",
        responses=items(REASONING | {"content": None, "encrypted_content": None}, HELLO),
        reply="Hello.",
    ),
    "cut-off reasoning in a completed response": Entry(
        report="https://github.com/jundot/omlx/pull/2817",
        responses=items(REASONING, HELLO | {"content": []}),
        reply=None,
    ),
    "reasoning only": Entry(
        report="https://github.com/vercel/ai/issues/7099",
        responses=items(REASONING),
        reply=None,
    ),
    "reasoning between two calls": Entry(
        report="https://github.com/TanStack/ai/pull/1347",
        responses=items(
            REASONING,
            function(),
            REASONING | {"id": "rs_2"},
            MILK,
        ),
        tasks=("Tea", "Milk"),
    ),
    "reasoning after the message": Entry(
        report="https://github.com/continuedev/continue/issues/8933",
        responses=items(HELLO, REASONING),
        reply="Hello.",
    ),
    "reasoning before an invalid call": Entry(
        report="https://github.com/0xPlaygrounds/rig/issues/751",
        responses=items(REASONING, function("{", name="")),
    ),
    "an empty answer": Entry(
        report="https://github.com/google/adk-python/pull/5636",
        responses=items(),
        reply=None,
    ),
    "a surrogate pair split across deltas": Entry(
        report="https://github.com/elizaOS/eliza/issues/30904",
        responses=stream(
            CREATED,
            added(HELLO | {"content": []}),
            delta("Tea \ud83c"),
            delta("\udf75"),
            done(message("Tea \ud83c\udf75")),
            completed(message("Tea \ud83c\udf75")),
        ),
        reply="Tea 🍵",
    ),
    "a NUL character": Entry(
        report="https://github.com/EratoLab/erato/issues/145",
        responses=items(message("Te\0a")),
        reply="Te\ufffda",
    ),
}

ENDS = {
    "a failure without a reason": Entry(
        report="https://github.com/modelship-ai/modelship/pull/187",
        responses=stream(CREATED, 'data: {"type":"response.failed","response":{"status":"failed","error":null}}\n\n'),
    ),
    "a rate limit as a failed response": Entry(
        report="https://github.com/earendil-works/pi/pull/1458",
        responses=stream(
            CREATED,
            event(
                "failed",
                response=response(status="failed", error={"code": "rate_limit_exceeded", "message": "Too many."}),
            ),
        ),
    ),
    "an error event": Entry(
        report="https://github.com/diegosouzapw/OmniRoute/pull/13476",
        responses=stream(CREATED, {"type": "error", "code": "server_error", "message": "Oh.", "param": None}),
    ),
    "an error event with a nested error": Entry(
        report="https://github.com/QwenLM/qwen-code/pull/11523",
        responses=stream(
            CREATED, {"type": "error", "sequence_number": 0, "error": {"type": "upstream_error", "message": "Oh."}}
        ),
    ),
    "an error in the Chat Completions format": Entry(
        report="https://github.com/openai/openai-python/issues/2699",
        responses=stream(CREATED, 'data: {"error":{"message":"Too many.","code":"429"}}\n\n'),
    ),
    "two objects in one event": Entry(
        report="https://github.com/Wei-Shaw/sub2api/issues/1471",
        responses=stream(
            CREATED, 'data: {"type":"response.comp\ndata: {"type":"error","message":"stream_read_error"}\n\n'
        ),
    ),
    "an answer that reaches the length limit": Entry(
        report="https://github.com/unslothai/unsloth/pull/10225",
        responses=stream(
            CREATED,
            delta("Hel"),
            event(
                "incomplete", response=response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
            ),
        ),
        reply=None,
    ),
    "an answer ended by a content filter": Entry(
        report="https://github.com/LTplus-AG/ifc-lite/pull/559",
        responses=stream(
            CREATED,
            event("incomplete", response=FILTERED),
        ),
        reply=None,
    ),
}

COUNTS = {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
ODD_USAGE: dict[str, tuple[str, object]] = {
    "fractions": ("QuantumNous/new-api/issues/1545", dict.fromkeys(COUNTS, 5.5)),
    "text": ("Arize-ai/openinference/pull/1183", dict.fromkeys(COUNTS, "20")),
    "infinite": ("HELPMEEADICE/BANDORI-PET-REV/pull/295", dict.fromkeys(COUNTS, float("inf"))),
    "a list": ("ogx-ai/ogx/pull/4690", [20, 10, 30]),
    "null in the details": ("ogx-ai/ogx/pull/4690", COUNTS | {"input_tokens_details": {"cached_tokens": None}}),
    "no details": ("exo-explore/exo/pull/1885", COUNTS | {"input_tokens_details": [], "output_tokens_details": "no"}),
    "outside the database's range": ("spring-projects/spring-ai/pull/6785", dict.fromkeys(COUNTS, 10**30)),
}
USAGES = {
    f"usage, {name}": Entry(
        report=f"https://github.com/{report}",
        responses=stream(CREATED, delta("Hello."), done(HELLO), completed(HELLO, usage=usage)),
        reply="Hello.",
    )
    for name, (report, usage) in ODD_USAGE.items()
}

RESPONSES = EVENTS | ITEMS | USAGES | ENDS
