"""The number of a user's conversations is limited, by every way of creating one."""

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
from chat.tests.stored_turns import conversation
from chat.turns.accept import accept

LIMIT = 3


@pytest.fixture(autouse=True)
def _low_limit(settings: Settings) -> None:
    settings.CONVERSATIONS_PER_USER = LIMIT


@pytest.fixture
def last_allowed(owner: User) -> Conversation:
    """Fill the limit with an archived, a trashed and an active conversation; return the last."""
    first, second, last = (conversation(owner, f"Chat {n}") for n in range(LIMIT))
    conversations.archive(user_id=owner.pk, conversation_id=first.pk)
    conversations.trash(user_id=owner.pk, conversation_id=second.pk)
    return last


def send(user: User, conversation_id: uuid.UUID) -> None:
    """Send a message, as the socket, the API and ChatKit do."""
    accept(user_id=user.pk, conversation_id=conversation_id, client_id=uuid.uuid4(), text="hello")


def test_new_conversation_above_the_limit_is_refused(owner: User, outsider: User, last_allowed: Conversation) -> None:
    with pytest.raises(TooManyConversations, match=r"You have 3 chats, and no more fit\. Delete some for good"):
        send(owner, uuid.uuid4())
    with pytest.raises(TooManyConversations):
        conversations.begin(user_id=owner.pk, title="One more")
    send(owner, last_allowed.pk)
    assert conversations.begin(user_id=owner.pk, conversation_id=last_allowed.pk).id == last_allowed.pk
    send(outsider, uuid.uuid4())
    assert Conversation.objects.owned_by(owner.pk).count() == LIMIT

    trashed = Conversation.objects.owned_by(owner.pk).exclude(trashed_at=None).get()
    trashed.delete()
    conversations.begin(user_id=owner.pk, title="There is room again")


def test_api_and_socket_report_the_limit(owner_client: Client, last_allowed: Conversation) -> None:
    response = owner_client.post("/api/chatkit/threads", "{}", content_type="application/json")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "too_many_conversations")

    frame = server_frames.error_frame(TooManyConversations(LIMIT), client_id="c")
    assert (frame["code"], frame["client_id"]) == ("conflict", "c")
    assert json.dumps(frame)


@pytest.mark.django_db(transaction=True)
async def test_concurrent_requests_do_not_exceed_the_limit(owner: User) -> None:
    creations = (in_database(conversations.begin, user_id=owner.pk) for _ in range(6))
    messages = (in_database(send, owner, uuid.uuid4()) for _ in range(6))
    outcomes = await asyncio.gather(*creations, *messages, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, TooManyConversations)]
    assert len(refused) == 12 - LIMIT, outcomes
    assert await in_database(Conversation.objects.owned_by(owner.pk).count) == LIMIT
