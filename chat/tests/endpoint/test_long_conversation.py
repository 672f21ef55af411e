"""A conversation of hundreds of turns stays within the session limit, and a provider accepts each of its requests."""

import asyncio
from typing import Any

import pytest
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.memory.items import faults
from chat.models import AgentSession, Task, Turn
from chat.models.turn import Status
from chat.tests.conftest import Chat
from chat.tests.model_server import Answer, Call, ModelServer, Reasoning, Request, Step, Text, text_reply

# The number of tool calls in each response before the model answers with text.
PLANS: tuple[list[int], ...] = ([1], [], [2], [1, 1], [3, 1], [1, 2, 1], [1], [5])


async def answer(request: Request) -> Step:
    """Answer "Turn 17" by its plan, sometimes with reasoning, and with ids that start at 0 in each response."""
    turn = int(request.last_user_text.removeprefix("Turn "))
    last_user = next(at for at in reversed(range(len(request.items))) if request.items[at].get("role") == "user")
    done = sum(item.get("type") == "function_call_output" for item in request.items[last_user:])
    thinks = turn % 3 == 0 and request.api == "responses"
    reasoning = (Reasoning(f"thought {turn}"),) if thinks else ()
    for wanted in PLANS[turn % len(PLANS)]:
        if done <= 0:
            calls = [_call(turn, n) for n in range(wanted)]
            return Answer(parts=(*reasoning, *calls), repeated_ids=True)
        done -= wanted
    return (
        Answer(parts=(*reasoning, Text((f"That was turn {turn}.",))), repeated_ids=True)
        if thinks
        else text_reply("Yes.")
    )


def _call(turn: int, n: int) -> Call:
    if n == 0:
        return Call("create_task", {"title": f"Task of turn {turn}"})
    return Call("get_task", {"number": n}) if n % 2 else Call("list_tasks", {"limit": 3})


@pytest.mark.parametrize(("turns", "limit"), [(30, 20), pytest.param(300, 200, marks=pytest.mark.long)])
async def test_long_conversation_stays_valid_and_within_the_session_limit(
    online: Chat, endpoint: ModelServer, settings: Settings, turns: int, limit: int
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES, settings.MESSAGES_PER_MINUTE = limit, 10_000
    endpoint.rule = answer
    session_id = str(SessionId(online.user.pk, online.conversation_id))

    for turn in range(turns):
        async with asyncio.timeout(60):
            await online.send(f"Turn {turn}")
            await online.wait_until_idle()
        stored = [dict(row.item) for row in await online.runner.store.rows(session_id)]
        assert len(stored) <= limit
        assert faults(stored) == {}

    assert endpoint.problems == [], "a provider would accept each request"
    for request in endpoint.requests:
        assert faults(request.items) == {}, request.last_user_text
    assert await in_database(Turn.objects.filter(status=Status.DONE).count) == turns
    turn_items: list[list[dict[str, Any]]] = await in_database(
        lambda: list(Turn.objects.order_by("seq").values_list("items", flat=True))
    )
    recorded = [item for items in turn_items for item in items]
    assert stored == recorded[-len(stored) :], "the session holds the newest items without gaps"
    assert len(stored) > limit - max(map(len, turn_items)), "it drops no more than it has to"
    metadata = await in_database(AgentSession.objects.get)
    assert (metadata.item_count, metadata.pruned_count) == (len(stored), len(recorded) - len(stored))
    titles = [f"Task of turn {turn}" for turn in range(turns) for _ in PLANS[turn % len(PLANS)]]
    assert await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True))) == titles
