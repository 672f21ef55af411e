"""What a program that uses ChatKit's store by itself is told."""

import pytest
from chatkit.types import FileAttachment, InferenceOptions, UserMessageItem, UserMessageTextContent
from django.utils import timezone

from chat.bridge import in_database
from chat.chatkit.store import Asker, ConversationStore, NoAttachments
from chat.models import Conversation, User
from chat.tests.chatkit.front_end import nothing


@pytest.mark.django_db(transaction=True)
async def test_a_file_with_a_message_is_refused(owner: User) -> None:
    item = UserMessageItem(
        id=nothing(),
        thread_id=nothing(),
        created_at=timezone.now(),
        content=[UserMessageTextContent(text="Look")],
        attachments=[FileAttachment(id="file_1", name="list.txt", mime_type="text/plain")],
        inference_options=InferenceOptions(),
    )
    with pytest.raises(NoAttachments):
        await ConversationStore().add_thread_item(item.thread_id, item, Asker(owner.pk))
    assert await in_database(Conversation.objects.count) == 0
