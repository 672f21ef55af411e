"""Whatever an endpoint answers, the turn ends, and the strictest endpoint takes the next message.

The answers are in the package `answers`, as bytes.
"""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker, Settings

from chat.assistant.model_config import learned
from chat.infra.db_threads import in_database
from chat.infra.storable import storable
from chat.memory.items import faults
from chat.models import Task, Turn, User
from chat.tests.conftest import Chat
from chat.tests.endpoint.answers import ALL_RIGHT, ANSWERS, Entry
from chat.tests.endpoint.conftest import KEY, events_of, failure_of, reply_of, shown
from chat.tests.model_server import Api, ModelServer, Raw, Request, says
from chat.tests.model_server.script import Step
from chat.turns.events import TurnFinished

ANSWER, NEXT, STILL_HERE = "Add tea", "Still there?", "Still here."
PLAYED = [
    pytest.param(entry, api, id=f"{name}, {api}")
    for name, entry in ANSWERS.items()
    for api, answer in (("chat_completions", entry.chat), ("responses", entry.responses))
    if answer is not None
]


@pytest.fixture(scope="module")
def emptied_once(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database that is emptied behind the last answer: behind each it would take longer than the answer does."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture
def transactional_db(emptied_once: None) -> None:
    """The same database for all answers."""


@pytest.fixture
def owner(emptied_once: None) -> User:
    """A person of each answer's own."""
    return User.objects.create_user(f"{uuid.uuid4()}@example.com")


@pytest.fixture
async def endpoint(entry: Entry) -> AsyncIterator[ModelServer]:
    """An endpoint that is as strict as the strictest provider, and answers what is not in its script."""

    async def answer(request: Request) -> Step:
        return says(STILL_HERE if request.said == NEXT else ALL_RIGHT)

    async with ModelServer(key=KEY, rule=answer, strict=entry.strict) as server:
        yield server


@pytest.fixture
def configured(configured: None, entry: Entry, settings: Settings) -> Iterator[None]:
    """The model that the answer is of; nothing is known of it before or after."""
    settings.AGENT_MODEL = entry.model
    learned.cache_clear()
    yield
    learned.cache_clear()


@pytest.mark.parametrize(("entry", "api"), PLAYED, indirect=["api"])
async def test_the_turn_ends_and_a_strict_endpoint_takes_the_next_message(
    online: Chat, endpoint: ModelServer, entry: Entry, api: Api
) -> None:
    endpoint.play(answer_of(entry, api), *entry.then)

    events = await events_of(online, ANSWER)
    assert not endpoint.script, "part of the script was never asked for"
    if entry.reply is None:
        has_reply = isinstance(events[-1], TurnFinished)
    else:
        has_reply = entry.reply != ""
        assert isinstance(events[-1], TurnFinished) == has_reply, (events[-1], endpoint.refused)
    if has_reply:
        assert reply_of(events) == shown(events)
        assert reply_of(events).strip()
        assert entry.reply in (None, reply_of(events))
    else:
        assert failure_of(events).detail.endswith(".")
        assert entry.failure in failure_of(events).detail
    if entry.tasks is not None:
        assert await in_database(titles, online.user) == sorted(entry.tasks)

    endpoint.refused.clear()  # in the turn, a refusal may teach what the endpoint wants
    events = await events_of(online, NEXT)
    assert (endpoint.refused, endpoint.problems, endpoint.strays) == ([], [], [])
    assert reply_of(events) == STILL_HERE

    remembered, recorded = await online.session(), await in_database(items, online.user)
    assert remembered == recorded == storable(recorded)
    assert faults(remembered) == {}


def answer_of(entry: Entry, api: Api) -> Raw:
    """Return the bytes that an endpoint of an API answers with."""
    answer = entry.chat if api == "chat_completions" else entry.responses
    assert answer is not None
    return answer


def titles(user: User) -> list[str]:
    """Return what stands in a person's task list."""
    return sorted(Task.objects.filter(user=user).values_list("title", flat=True))


def items(user: User) -> list[object]:
    """Return what the record says that the session was given."""
    turns = Turn.objects.filter(user=user).order_by("seq")
    return [item for given in turns.values_list("items", flat=True) for item in given]
