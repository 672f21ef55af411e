"""After any answer of an endpoint the turn ends, and a strict endpoint accepts the next message.

The package `answers` has the answers as bytes.
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
from chat.tests.endpoint.conftest import KEY, events_of, failure_of, reply_of, shown_text
from chat.tests.model_server import Api, ModelServer, Raw, Request, text_reply
from chat.tests.model_server.script import Step
from chat.turns.events import TurnFinished

FIRST, NEXT, STILL_HERE = "Add tea", "Still there?", "Still here."
# An answer that exists in both APIs is a long test in the second one.
CASES = [
    pytest.param(entry, api, id=f"{name}, {api}", marks=pytest.mark.long if api == "responses" and entry.chat else ())
    for name, entry in ANSWERS.items()
    for api, answer in (("chat_completions", entry.chat), ("responses", entry.responses))
    if answer is not None
]


@pytest.fixture(scope="module")
def flushed_once(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Flush the database after the last answer: a flush after each would take longer than the test."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture
def transactional_db(flushed_once: None) -> None:
    """Share the database between all answers."""


@pytest.fixture
def owner(flushed_once: None) -> User:
    """A new user for each answer."""
    return User.objects.create_user(f"{uuid.uuid4()}@example.com")


@pytest.fixture
async def endpoint(entry: Entry) -> AsyncIterator[ModelServer]:
    """An endpoint as strict as the strictest provider, which also answers after its script."""

    async def answer(request: Request) -> Step:
        return text_reply(STILL_HERE if request.last_user_text == NEXT else ALL_RIGHT)

    async with ModelServer(key=KEY, rule=answer, strict=entry.strict) as server:
        yield server


@pytest.fixture
def configured(configured: None, entry: Entry, settings: Settings) -> Iterator[None]:
    """Use the model of the entry, and forget what was learned about it before and after."""
    settings.AGENT_MODEL = entry.model
    learned.cache_clear()
    yield
    learned.cache_clear()


@pytest.mark.parametrize(("entry", "api"), CASES, indirect=["api"])
async def test_turn_ends_and_strict_endpoint_accepts_the_next_message(
    online: Chat, endpoint: ModelServer, entry: Entry, api: Api
) -> None:
    endpoint.play(answer_of(entry, api), *entry.then)

    events = await events_of(online, FIRST)
    assert not endpoint.script, "part of the script was not played"
    if entry.reply is None:
        has_reply = isinstance(events[-1], TurnFinished)
    else:
        has_reply = entry.reply != ""
        assert isinstance(events[-1], TurnFinished) == has_reply, (events[-1], endpoint.refused)
    if has_reply:
        assert reply_of(events) == shown_text(events)
        assert reply_of(events).strip()
        assert entry.reply in (None, reply_of(events))
    else:
        assert failure_of(events).detail.endswith(".")
        assert entry.failure in failure_of(events).detail
    if entry.tasks is not None:
        assert await in_database(titles, online.user) == sorted(entry.tasks)

    endpoint.refused.clear()  # within the turn, the product may learn from a refusal
    events = await events_of(online, NEXT)
    assert (endpoint.refused, endpoint.problems, endpoint.unknown_requests) == ([], [], [])
    assert reply_of(events) == STILL_HERE

    session_items, turn_items = await online.session(), await in_database(items, online.user)
    assert session_items == turn_items == storable(turn_items)
    assert faults(session_items) == {}


def answer_of(entry: Entry, api: Api) -> Raw:
    """Return the answer of an entry for an API."""
    answer = entry.chat if api == "chat_completions" else entry.responses
    assert answer is not None
    return answer


def titles(user: User) -> list[str]:
    """Return the titles of a user's tasks."""
    return sorted(Task.objects.filter(user=user).values_list("title", flat=True))


def items(user: User) -> list[object]:
    """Return the session items that are stored with a user's turns."""
    turns = Turn.objects.filter(user=user).order_by("seq")
    return [item for turn_items in turns.values_list("items", flat=True) for item in turn_items]
