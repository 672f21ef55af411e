"""Tools over HTTP: each call acts once, and the next request carries what came of it."""

import json
from typing import Any

from chat.infra.db_threads import in_database
from chat.models import Task
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.model_server import Answer, Api, Call, ModelServer, Text, calls, says
from chat.turns.events import ToolStarted


def outputs(endpoint: ModelServer, request: int) -> list[dict[str, Any]]:
    """Return what the tools answered, as a request tells the model."""
    return [json.loads(output) for output in endpoint.requests[request].outputs.values()]


async def titles() -> list[str]:
    """Return what stands in the task list."""
    return await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True)))


async def test_a_call_acts_once_and_the_next_request_says_what_came_of_it(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(calls(Call("create_task", {"title": "Buy milk"}, "call_milk", pieces=7)), says("Added."))

    events = await events_of(online, "add milk")

    assert reply_of(events) == "Added."
    assert await titles() == ["Buy milk"]
    assert endpoint.requests[1].outputs.keys() == {"call_milk"}
    assert outputs(endpoint, 1)[0]["task"]["title"] == "Buy milk"
    assert [e.arguments for e in events if isinstance(e, ToolStarted)] == [{"title": "Buy milk"}]


async def test_what_is_said_before_a_call_stays_and_the_rest_is_a_new_paragraph(
    online: Chat, endpoint: ModelServer
) -> None:
    endpoint.play(
        Answer(parts=(Text(("One ", "moment.")), Call("create_task", {"title": "Tea"}))),
        Answer(parts=(Call("create_task", {"title": "Milk"}), Text(("And milk.",)))),
        says("Done."),
    )

    assert reply_of(await events_of(online, "tea and milk")) == "One moment.\n\nAnd milk.\n\nDone."
    assert await titles() == ["Tea", "Milk"]


async def test_no_request_names_the_person(online: Chat, endpoint: ModelServer, api: Api) -> None:
    endpoint.play(calls(Call("create_task", {"title": "Tea"})), says("Added."))

    await events_of(online, "add tea")

    for request in endpoint.requests:
        told = json.dumps(request.body)
        assert str(online.user.pk) not in told
        assert online.user.email not in told
