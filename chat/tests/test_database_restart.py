"""A turn that loses its database connection is finished after a reconnection, without waiting for its lease."""

import asyncio
import os
import uuid

import psycopg
from agents.testing import ScriptedModel, assistant_message
from django.db import connection

from chat.infra.db_threads import in_database
from chat.models import Turn, User
from chat.models.turn import Status
from chat.tests.conftest import Chat, StartRunner
from chat.turns.lease import LEASE_TIME
from config.tests.support import LiveDatabase, with_name


async def test_same_process_resumes_a_turn_after_a_lost_connection(start_runner: StartRunner, owner: User) -> None:
    script = ScriptedModel([[assistant_message("Hello!")]] * 2)
    chat = Chat(await start_runner(script), owner, uuid.uuid4())
    database = LiveDatabase(with_name(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]))
    blocked = "SELECT %s FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async with asyncio.timeout(LEASE_TIME.total_seconds() * 0.8):
        with psycopg.connect(database.url) as gate:
            gate.execute("LOCK TABLE chat_turnstep IN SHARE MODE")
            accepted = await chat.send("hi")
            while not database.query(blocked % "pid"):
                await asyncio.sleep(0.02)
            database.query(blocked % "pg_terminate_backend(pid)")
        await chat.follow_to_end(accepted.turn)

    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.attempt, turn.cut_off) == (Status.DONE, 2, 0), "no process has crashed"
