"""A provider whose ids start at 0 in each response does not corrupt the conversation."""

from chat.infra.db_threads import in_database
from chat.models import Task, ToolCall
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.model_server import Answer, Api, Call, ModelServer, Reasoning, Text


def repeating(*parts: Text | Call | Reasoning) -> Answer:
    """Return an answer that repeats the ids of earlier answers."""
    return Answer(parts=parts, repeated_ids=True)


async def test_each_call_keeps_its_own_output_over_several_turns(online: Chat, endpoint: ModelServer) -> None:
    titles = ["Tea", "Milk", "Sugar"]
    for title in titles:
        endpoint.play(repeating(Call("create_task", {"title": title})), repeating(Text((f"{title} added.",))))

    for title in titles:
        assert reply_of(await events_of(online, f"add {title}")) == f"{title} added."

    assert await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True))) == titles
    last = endpoint.requests[-1]
    calls = {item["call_id"]: item["arguments"] for item in last.items if item.get("type") == "function_call"}
    assert len(calls) == 3
    for call_id, arguments in calls.items():
        assert any(title in arguments and title in last.outputs[call_id] for title in titles)


async def test_parallel_calls_in_several_rounds_of_a_turn_all_run(
    online: Chat, endpoint: ModelServer, api: Api
) -> None:
    reasoning = (Reasoning("gAAA"),) if api == "responses" else ()
    rounds = [("Tea", "Milk"), ("Sugar", "Lemon"), ("Cups", "Spoons")]
    for first, second in rounds:
        endpoint.play(
            repeating(
                *reasoning,
                Text(("Next.",)),
                Call("create_task", {"title": first}),
                Call("create_task", {"title": second}),
            )
        )
    endpoint.play(repeating(*reasoning, Text(("All there.",))))

    assert reply_of(await events_of(online, "a tea party")).endswith("All there.")

    wanted = [title for pair in rounds for title in pair]
    created = await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True)))
    assert sorted(created) == sorted(wanted)
    journaled = await in_database(lambda: set(ToolCall.objects.values_list("call_id", flat=True)))
    assert len(journaled) == 6
    assert len(endpoint.requests[-1].outputs) == 6
