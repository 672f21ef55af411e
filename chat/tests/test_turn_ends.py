"""A turn ends after any response of the model and any error of the database, and the next message is answered."""

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


def reject_steps(sqlstate: str, condition: str = "true") -> Callable[[], None]:
    """Return a function that makes PostgreSQL reject the steps of turns."""

    def create_trigger() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE OR REPLACE FUNCTION refuse_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF {condition} THEN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END IF; RETURN new; END $$"
            )
            cursor.execute(
                "CREATE TRIGGER refuse BEFORE INSERT ON chat_turnstep FOR EACH ROW EXECUTE FUNCTION refuse_step()"
            )

    return create_trigger


def accept_steps() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION refuse_step() CASCADE")


@pytest.mark.parametrize("sqlstate", ["22P05", "23514", "42703"])
async def test_permanent_database_error_fails_the_turn_at_once(
    chat: Chat, script: ScriptedModel, caplog: pytest.LogCaptureFixture, sqlstate: str
) -> None:
    script.extend([[assistant_message("Once.")], [assistant_message("Yes.")]])
    await in_database(reject_steps(sqlstate))
    try:
        await chat.run_turn("Do it")
    finally:
        await chat.wait_until_idle()
        await in_database(accept_steps)

    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.error_code, turn.attempt) == (Status.FAILED, "internal", 1)
    assert any(str(turn.pk) in record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)
    assert await chat.reply("Still there?") == "Yes."


async def test_repeated_transient_database_error_fails_the_turn(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.extend([[assistant_message("Again.")]] * DEADLY)
    script.enqueue([assistant_message("Yes.")])
    await in_database(reject_steps("40001"))
    try:
        accepted = await chat.send("Do it")
        await chat.follow_to_end(accepted.turn)
    finally:
        await chat.wait_until_idle()
        await in_database(accept_steps)

    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.error_code, turn.attempt) == (Status.FAILED, "cut_off", DEADLY + 1)
    assert await chat.reply("Still there?") == "Yes."


async def test_tool_calls_of_one_response_run_in_order(chat: Chat, script: ScriptedModel) -> None:
    titles = [f"thing {n}" for n in range(8)]
    calls = [function_call("create_task", json.dumps({"title": title}), call_id=title[-1]) for title in titles]
    script.extend([calls, [assistant_message("All there.")]])
    await chat.reply("Add them")
    await chat.wait_until_idle()

    assert await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True))) == titles
    ((items, journal),) = await in_database(
        lambda: [(turn.items, [call.call_id for call in turn.tool_calls.all()]) for turn in Turn.objects.all()]
    )
    outputs = [item["call_id"] for item in items if item.get("type") == "function_call_output"]
    assert outputs == journal == [title[-1] for title in titles]


async def test_empty_response_is_logged_in_one_line(
    chat: Chat, script: ScriptedModel, caplog: pytest.LogCaptureFixture
) -> None:
    script.enqueue([])
    await chat.run_turn("Hello?")

    (line,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert line == "The model did not answer: ModelFailed: The assistant gave no answer."
