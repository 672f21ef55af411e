"""Direct calls of the store that ChatKit uses."""

import pytest
from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    FileAttachment,
    InferenceOptions,
    UserMessageItem,
    UserMessageTextContent,
)
from django.utils import timezone

from chat.chatkit.store import Client, ConversationStore, NoAttachments, NotOfTurns
from chat.infra.db_threads import in_database
from chat.models import Conversation, User
from chat.tests import stored_turns
from chat.tests.chatkit.front_end import unknown_id


@pytest.mark.django_db(transaction=True)
async def test_message_with_a_file_is_rejected(owner: User) -> None:
    item = UserMessageItem(
        id=unknown_id(),
        thread_id=unknown_id(),
        created_at=timezone.now(),
        content=[UserMessageTextContent(text="Look")],
        attachments=[FileAttachment(id="file_1", name="list.txt", mime_type="text/plain")],
        inference_options=InferenceOptions(),
    )
    with pytest.raises(NoAttachments):
        await ConversationStore().add_thread_item(item.thread_id, item, Client(owner.pk))
    assert await in_database(Conversation.objects.count) == 0


@pytest.mark.django_db(transaction=True)
async def test_items_of_a_turn_cannot_be_changed_or_deleted(owner: User) -> None:
    def fill() -> str:
        conversation = stored_turns.conversation(owner)
        stored_turns.add_turn(conversation, "Hello", "Hi.")
        return str(conversation.pk)

    thread_id, store = await in_database(fill), ConversationStore()
    reply = (await store.load_thread_items(thread_id, None, 1, "desc", Client(owner.pk))).data[0]
    assert isinstance(reply, AssistantMessageItem)
    other = reply.model_copy(update={"content": [AssistantMessageContent(text="H")]})
    with pytest.raises(NotOfTurns):
        await store.save_item(thread_id, other, Client(owner.pk))
    with pytest.raises(NotOfTurns):
        await store.delete_thread_item(thread_id, reply.id, Client(owner.pk))

    # If the response has sent the item, writing it is ignored: the database may be ahead of the response.
    client = Client(owner.pk, sent={reply.id})
    await store.save_item(thread_id, other, client)
    await store.delete_thread_item(thread_id, reply.id, client)
    assert (await store.load_item(thread_id, reply.id, client)) == reply
