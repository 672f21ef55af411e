"""ChatKit's store over the record: threads are conversations, items are views of turns, and nothing is stored twice.

Messages are accepted as everywhere else; the process that runs a turn stores what the assistant does. An item that no
turn has made is refused.
"""

import uuid
from dataclasses import dataclass, field

from chatkit import types
from chatkit.store import Store, StoreItemType

from chat.chatkit import reading
from chat.chatkit.items import items_of
from chat.conversations import services as conversations
from chat.exceptions import BadInput, KeyReused
from chat.infra.db_threads import in_database
from chat.read_models import TurnOut
from chat.turns import process


@dataclass(frozen=True, slots=True)
class Client:
    """A client: its user, and the idempotency key of its request.

    `sent` has the ids of all items that the response has sent: they come from the record, which may be ahead.
    """

    user_id: uuid.UUID
    key: str = ""
    sent: set[str] = field(default_factory=set, compare=False)

    def new_id(self, what: str) -> uuid.UUID:
        """Make an id: for the same request always the same."""
        return uuid.uuid5(self.user_id, f"{what} {self.key}") if self.key else uuid.uuid4()


class NoAttachments(BadInput):
    """A file, which cannot be stored."""

    default_detail = "Files cannot be attached here."


class NotOfTurns(BadInput):
    """Something that a store of items could keep, and a record of turns cannot."""

    default_detail = "A conversation’s items come from its messages and replies; none is written by itself."


def text_of(message: types.UserMessageInput | types.UserMessageItem) -> str:
    """Return a message's text, with the passage that it quotes below it. Raise BadInput."""
    if message.attachments:
        raise NoAttachments
    options = message.inference_options
    if options.model is not None or options.tool_choice is not None:
        raise BadInput("Model and tools are chosen by whoever runs this server.")
    text = "".join(part.text for part in message.content)
    if not message.quoted_text:
        return text
    quoted = "\n".join(f"> {line}" for line in message.quoted_text.splitlines())
    return f"{text}\n\n{quoted}" if text.strip() else text


class ConversationStore(Store[Client]):
    """Conversations as ChatKit's threads."""

    # -- ids

    def generate_thread_id(self, context: Client) -> str:
        """Make the id of a conversation."""
        return str(context.new_id("thread"))

    def generate_item_id(self, item_type: StoreItemType, thread: types.ThreadMetadata, context: Client) -> str:
        """Make an id; a message's is what keeps it from being stored twice."""
        return str(context.new_id(f"{item_type} {thread.id}"))

    # -- threads

    async def load_thread(self, thread_id: str, context: Client) -> types.ThreadMetadata:
        """Return a conversation. Raise NotFound."""
        return await in_database(reading.thread, context.user_id, thread_id)

    async def load_threads(
        self, limit: int, after: str | None, order: str, context: Client
    ) -> types.Page[types.ThreadMetadata]:
        """Return a page of conversations by when they began. Raise NotFound."""
        newest_first = order == "desc"
        return await in_database(reading.threads, context.user_id, after=after, limit=limit, newest_first=newest_first)

    async def save_thread(self, thread: types.ThreadMetadata, context: Client) -> None:
        """Rename a conversation, or begin one. Raise NotFound, BadInput for what a conversation does not have."""
        is_active = isinstance(thread.status, types.ActiveStatus)
        if thread.metadata or thread.allowed_image_domains is not None or not is_active:
            raise BadInput("Of a conversation only its title can be changed.")
        await in_database(_save_title, context.user_id, thread)

    async def delete_thread(self, thread_id: str, context: Client) -> None:
        """Put a conversation into the trash. Raise NotFound, Conflict under a legal hold."""
        key = reading.thread_key(thread_id)
        await in_database(conversations.trash, user_id=context.user_id, conversation_id=key)

    # -- items

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Client
    ) -> types.Page[types.ThreadItem]:
        """Return a page of a thread's items. Raise NotFound."""
        newest_first, owner = order == "desc", context.user_id
        return await in_database(reading.items, owner, thread_id, after=after, limit=limit, newest_first=newest_first)

    async def load_item(self, thread_id: str, item_id: str, context: Client) -> types.ThreadItem:
        """Return an item. Raise NotFound."""
        return await in_database(reading.item, context.user_id, thread_id, item_id)

    async def add_thread_item(self, thread_id: str, item: types.ThreadItem, context: Client) -> None:
        """Accept a user's message, which gets the message's id; check that every other item is recorded.

        Raise what `accept` raises, and NotOfTurns.
        """
        if not isinstance(item, types.UserMessageItem):
            await self.save_item(thread_id, item, context)
            return
        text = text_of(item)
        accepted = await process.current().send(
            user_id=context.user_id,
            conversation_id=reading.thread_key(thread_id),
            client_id=uuid.UUID(item.id),
            text=text,
        )
        stored = accepted.message
        if stored.text != text:
            raise KeyReused
        item.id, item.created_at = str(stored.id), stored.created_at
        item.content, item.quoted_text = [types.UserMessageTextContent(text=stored.text)], None

    async def save_item(self, thread_id: str, item: types.ThreadItem, context: Client) -> None:
        """Make sure that an item is recorded; of an active turn it will be. Raise NotOfTurns."""
        if item.id in context.sent:
            return
        turn = await self._turn_with(thread_id, item.id, context)
        if turn is None or (not turn.is_active and item not in items_of(turn)):
            raise NotOfTurns

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Client) -> None:
        """Make sure that an item is not recorded; an active turn may remove what it has shown. Raise NotOfTurns."""
        if item_id in context.sent:
            return
        turn = await self._turn_with(thread_id, item_id, context)
        if turn is not None and (not turn.is_active or item_id == str(turn.prompt.id)):
            raise NotOfTurns

    async def _turn_with(self, thread_id: str, item_id: str, context: Client) -> TurnOut | None:
        try:
            return (await in_database(reading.turn_with, context.user_id, thread_id, item_id))[0]
        except reading.NoSuchItem:
            return None

    # -- attachments

    async def save_attachment(self, attachment: types.Attachment, context: Client) -> None:
        """Raise NoAttachments."""
        raise NoAttachments

    async def load_attachment(self, attachment_id: str, context: Client) -> types.Attachment:
        """Raise NoAttachments."""
        raise NoAttachments

    async def delete_attachment(self, attachment_id: str, context: Client) -> None:
        """Raise NoAttachments."""
        raise NoAttachments


def _save_title(user_id: uuid.UUID, thread: types.ThreadMetadata) -> None:
    key, title = reading.thread_key(thread.id), thread.title or ""
    try:
        before = reading.thread(user_id, thread.id).title or ""
    except reading.NoSuchThread:
        conversations.begin(user_id=user_id, conversation_id=key, title=title)
        return
    if title != before:
        conversations.rename(user_id=user_id, conversation_id=key, title=title)
