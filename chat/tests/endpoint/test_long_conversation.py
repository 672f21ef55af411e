"""A conversation of hundreds of turns stays within its limit, and each request of it is one that a model would take."""

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
from chat.tests.model_server import Answer, Call, ModelServer, Reasoning, Request, Step, Text, says

# How many tools are called at once, response by response, before the model says something.
PLANS: tuple[list[int], ...] = ([1], [], [2], [1, 1], [3, 1], [1, 2, 1], [1], [5])


async def answer(request: Request) -> Step:
    """Answer "Turn 17" by a plan of its own, with reasoning here and there, and ids that begin anew each time."""
    turn = int(request.said.removeprefix("Turn "))
    asked = next(at for at in reversed(range(len(request.items))) if request.items[at].get("role") == "user")
    done = sum(item.get("type") == "function_call_output" for item in request.items[asked:])
    thinks = turn % 3 == 0 and request.api == "responses"
    reasoning = (Reasoning(f"thought {turn}"),) if thinks else ()
    for wanted in PLANS[turn % len(PLANS)]:
        if done <= 0:
            calls = [_call(turn, n) for n in range(wanted)]
            return Answer(parts=(*reasoning, *calls), repeated_ids=True)
        done -= wanted
    return Answer(parts=(*reasoning, Text((f"That was turn {turn}.",))), repeated_ids=True) if thinks else says("Yes.")


def _call(turn: int, n: int) -> Call:
    if n == 0:
        return Call("create_task", {"title": f"Task of turn {turn}"})
    return Call("get_task", {"number": n}) if n % 2 else Call("list_tasks", {"limit": 3})


@pytest.mark.parametrize(("turns", "limit"), [(30, 20), pytest.param(300, 200, marks=pytest.mark.long)])
async def test_a_long_conversation_stays_within_its_limit_and_sound(
    online: Chat, endpoint: ModelServer, settings: Settings, turns: int, limit: int
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES, settings.MESSAGES_PER_MINUTE = limit, 10_000
    endpoint.rule = answer
    session_id = str(SessionId(online.user.pk, online.conversation_id))

    for turn in range(turns):
        async with asyncio.timeout(60):
            await online.send(f"Turn {turn}")
            await online.settled()
        held = [dict(row.item) for row in await online.runner.store.rows(session_id)]
        assert len(held) <= limit
        assert faults(held) == {}

    assert endpoint.problems == [], "a provider would have taken each request"
    for request in endpoint.requests:
        assert faults(request.items) == {}, request.said
    assert await in_database(Turn.objects.filter(status=Status.DONE).count) == turns
    given: list[list[dict[str, Any]]] = await in_database(
        lambda: list(Turn.objects.order_by("seq").values_list("items", flat=True))
    )
    record = [item for items in given for item in items]
    assert held == record[-len(held) :], "the newest of what was said, all of it"
    assert len(held) > limit - max(map(len, given)), "and no less than fits"
    mirror = await in_database(AgentSession.objects.get)
    assert (mirror.item_count, mirror.pruned_count) == (len(held), len(record) - len(held))
    made = [f"Task of turn {turn}" for turn in range(turns) for _ in PLANS[turn % len(PLANS)]]
    assert await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True))) == made
