"""A person has a bounded number of conversations, however they are made."""

import asyncio
import json
import uuid

import pytest
from django.test import Client
from pytest_django import Settings

from chat.conversations import services as conversations
from chat.exceptions import TooManyConversations
from chat.infra.db_threads import in_database
from chat.models import Conversation, User
from chat.realtime import server_frames
from chat.tests.talk import conversation
from chat.turns.accept import accept

MOST = 3


@pytest.fixture(autouse=True)
def _few(settings: Settings) -> None:
    settings.CONVERSATIONS_PER_USER = MOST


@pytest.fixture
def full(owner: User) -> Conversation:
    """The last conversation that the owner may have; where it lies does not matter."""
    first, second, last = (conversation(owner, f"Chat {n}") for n in range(MOST))
    conversations.archive(user_id=owner.pk, conversation_id=first.pk)
    conversations.trash(user_id=owner.pk, conversation_id=second.pk)
    return last


def say(user: User, conversation_id: uuid.UUID) -> None:
    """Say something, as over the socket, the API or ChatKit."""
    accept(user_id=user.pk, conversation_id=conversation_id, client_id=uuid.uuid4(), text="hello")


def test_one_more_is_refused_and_those_there_are_go_on(owner: User, outsider: User, full: Conversation) -> None:
    with pytest.raises(TooManyConversations, match=r"You have 3 chats, and no more fit\. Delete some for good"):
        say(owner, uuid.uuid4())
    with pytest.raises(TooManyConversations):
        conversations.begin(user_id=owner.pk, title="One more")
    say(owner, full.pk)
    assert conversations.begin(user_id=owner.pk, conversation_id=full.pk).id == full.pk
    say(outsider, uuid.uuid4())
    assert Conversation.objects.owned_by(owner.pk).count() == MOST

    trashed = Conversation.objects.owned_by(owner.pk).exclude(trashed_at=None).get()
    trashed.delete()
    conversations.begin(user_id=owner.pk, title="There is room again")


def test_programs_and_pages_learn_why(owner_client: Client, full: Conversation) -> None:
    answer = owner_client.post("/api/chatkit/threads", "{}", content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "too_many_conversations")

    frame = server_frames.error_frame(TooManyConversations(MOST), client_id="c")
    assert (frame["code"], frame["client_id"]) == ("conflict", "c")
    assert json.dumps(frame)


@pytest.mark.django_db(transaction=True)
async def test_several_at_the_same_moment_are_not_more(owner: User) -> None:
    begun = (in_database(conversations.begin, user_id=owner.pk) for _ in range(6))
    said = (in_database(say, owner, uuid.uuid4()) for _ in range(6))
    outcomes = await asyncio.gather(*begun, *said, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyConversations)]
    assert len(refused) == 12 - MOST, outcomes
    assert await in_database(Conversation.objects.owned_by(owner.pk).count) == MOST
