"""Whatever a model answers and whatever the database refuses, the turn ends, and the next message is answered."""

import json
import logging
from collections.abc import Callable

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from django.db import connection

from chat.infra.db_threads import in_database
from chat.models import Task, Turn
from chat.models.turn import Status
from chat.tests.conftest import Chat
from chat.turns.lease import DEADLY

CALLS = {
    "an id of 200 characters": ("complete_task", '{"number": 1}', "call_" + "x" * 195),
    "an id with a NUL": ("complete_task", '{"number": 1}', "call_\0"),
    "a number that is none": ("complete_task", '{"number": NaN}', "c1"),
    "a number beyond all": ("complete_task", '{"number": 1e400}', "c1"),
    "half a character": ("create_task", '{"title": "\\ud83d"}', "c1"),
    "a NUL": ("create_task", '{"title": "a\\u0000b"}', "c1"),
    "a number that no column holds": ("complete_task", '{"number": 99999999999999999999}', "c1"),
    "a name of 200 characters": ("x" * 200, "{}", "c1"),
    "an empty name": ("", "{}", "c1"),
    "no object": ("create_task", "[1, 2]", "c1"),
    "two objects": ("create_task", '{"title": "a"}{"title": "b"}', "c1"),
    "cut off": ("create_task", '{"title": "a', "c1"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_that_cannot_be_is_answered_and_the_chat_goes_on(
    chat: Chat, script: ScriptedModel, name: str
) -> None:
    tool, arguments, call_id = CALLS[name]
    script.extend([[function_call(tool, arguments, call_id=call_id)], [assistant_message("So be it.")]])
    script.enqueue([assistant_message("Yes.")])

    assert await chat.reply("Do it") == "So be it."
    await chat.settled()
    assert await chat.reply("Still there?") == "Yes."
    await chat.settled()

    remembered = await in_database(lambda: [item for turn in Turn.objects.order_by("seq") for item in turn.items])
    assert len(await chat.session()) == len(remembered) == 6


def refusing(sqlstate: str, condition: str = "true") -> Callable[[], None]:
    """Let PostgreSQL refuse what a turn writes of a step."""

    def refuse() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION refuse_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF {condition} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF; RETURN new; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON chat_turnstep FOR EACH ROW EXECUTE FUNCTION refuse_step()"
            )

    return refuse


def no_longer() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION refuse_step() CASCADE")


@pytest.mark.parametrize("sqlstate", ["22P05", "23514", "42703"])
async def test_what_can_never_be_stored_ends_the_turn_at_once(
    chat: Chat, script: ScriptedModel, caplog: pytest.LogCaptureFixture, sqlstate: str
) -> None:
    script.extend([[assistant_message("Once.")], [assistant_message("Yes.")]])
    await in_database(refusing(sqlstate))
    try:
        await chat.say("Do it")
    finally:
        await chat.settled()
        await in_database(no_longer)

    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.error_code, turn.attempt) == (Status.FAILED, "internal", 1)
    assert any(str(turn.pk) in record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)
    assert await chat.reply("Still there?") == "Yes."


async def test_what_fails_again_and_again_is_given_up(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.extend([[assistant_message("Again.")]] * DEADLY)
    script.enqueue([assistant_message("Yes.")])
    await in_database(refusing("40001"))
    try:
        accepted = await chat.send("Do it")
        await chat.log(accepted.turn)
    finally:
        await chat.settled()
        await in_database(no_longer)

    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.error_code, turn.attempt) == (Status.FAILED, "cut_off", DEADLY + 1)
    assert await chat.reply("Still there?") == "Yes."


async def test_calls_of_one_response_are_carried_out_in_their_order(chat: Chat, script: ScriptedModel) -> None:
    titles = [f"thing {n}" for n in range(8)]
    calls = [function_call("create_task", json.dumps({"title": title}), call_id=title[-1]) for title in titles]
    script.extend([calls, [assistant_message("All there.")]])
    await chat.reply("Add them")
    await chat.settled()

    assert await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True))) == titles
    ((items, journal),) = await in_database(
        lambda: [(turn.items, [call.call_id for call in turn.tool_calls.all()]) for turn in Turn.objects.all()]
    )
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    assert outputs == journal == [title[-1] for title in titles]
