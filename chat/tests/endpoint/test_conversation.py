"""The conversation that everything is for, over the real client, with the built-in model behind the endpoint."""

from datetime import timedelta

from django.utils import timezone

from chat.infra.db_threads import in_database
from chat.models import Message, Task
from chat.tests.conftest import Chat, StartRunner
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.model_server import ModelServer
from chat.tests.model_server.offline import answer_offline

ADD = "Add a task to buy groceries for the party"
MOVE = "Actually, make that due tomorrow"
RECALL = "What was the first thing I asked you to do?"


async def test_a_task_is_added_moved_and_recalled(online: Chat, endpoint: ModelServer) -> None:
    endpoint.rule = answer_offline

    entries = await online.log((await online.send(ADD)).turn)
    await online.settled()
    assert entries[-1].n > 8, "the reply came in pieces"
    task = await in_database(Task.objects.get)
    assert (task.title.lower(), task.due_date) == ("buy groceries for the party", None)

    today = timezone.now().date()  # the owner's zone is UTC
    await events_of(online, MOVE)
    task = await in_database(Task.objects.get)
    assert task.due_date in (today + timedelta(days=1), timezone.now().date() + timedelta(days=1))

    recalled = reply_of(await events_of(online, RECALL))
    assert "buy groceries for the party" in recalled.lower()
    assert await in_database(Message.objects.count) == 6


async def test_the_answer_to_what_was_first_comes_from_the_session(
    online: Chat, endpoint: ModelServer, start_runner: StartRunner
) -> None:
    endpoint.rule = answer_offline
    await events_of(online, ADD)
    await online.runner.drain(1)

    online.runner = await start_runner(choose=online.runner.turns.choose)

    assert "groceries" in reply_of(await events_of(online, RECALL)).lower()
    assert ADD in str(endpoint.requests[-1].items), "the new process read it from the session file"
