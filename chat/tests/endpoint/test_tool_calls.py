"""Tool calls over HTTP: each call runs once, and the next request contains its output."""

import json
from typing import Any

from chat.infra.db_threads import in_database
from chat.models import Task
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.model_server import Answer, Api, Call, ModelServer, Text, text_reply, tool_calls
from chat.turns.events import ToolStarted


def outputs(endpoint: ModelServer, request: int) -> list[dict[str, Any]]:
    """Return the tool outputs in a request."""
    return [json.loads(output) for output in endpoint.requests[request].outputs.values()]


async def titles() -> list[str]:
    """Return the titles of the tasks."""
    return await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True)))


async def test_tool_call_runs_once_and_the_next_request_contains_its_output(
    online: Chat, endpoint: ModelServer
) -> None:
    endpoint.play(tool_calls(Call("create_task", {"title": "Buy milk"}, "call_milk", pieces=7)), text_reply("Added."))

    events = await events_of(online, "add milk")

    assert reply_of(events) == "Added."
    assert await titles() == ["Buy milk"]
    assert endpoint.requests[1].outputs.keys() == {"call_milk"}
    assert outputs(endpoint, 1)[0]["task"]["title"] == "Buy milk"
    assert [e.arguments for e in events if isinstance(e, ToolStarted)] == [{"title": "Buy milk"}]


async def test_text_before_a_call_stays_and_later_text_is_a_new_paragraph(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(
        Answer(parts=(Text(("One ", "moment.")), Call("create_task", {"title": "Tea"}))),
        Answer(parts=(Call("create_task", {"title": "Milk"}), Text(("And milk.",)))),
        text_reply("Done."),
    )

    assert reply_of(await events_of(online, "tea and milk")) == "One moment.\n\nAnd milk.\n\nDone."
    assert await titles() == ["Tea", "Milk"]


async def test_requests_do_not_identify_the_user(online: Chat, endpoint: ModelServer, api: Api) -> None:
    endpoint.play(tool_calls(Call("create_task", {"title": "Tea"})), text_reply("Added."))

    await events_of(online, "add tea")

    for request in endpoint.requests:
        body = json.dumps(request.body)
        assert str(online.user.pk) not in body
        assert online.user.email not in body
