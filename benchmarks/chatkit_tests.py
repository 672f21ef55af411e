"""ChatKit's own tests of stores and servers, run against ours: how many of them pass, and why the others do not.

    uv run python -m benchmarks.chatkit_tests path/to/chatkit-python

Takes the tests as they are from a checkout of the package. Only what they begin with is adapted: in the place of their
SQLite store stands ours, over a PostgreSQL of its own. A test names its threads and items, ours are named by the
record, so that names are translated; and where a test says itself what the assistant replies, a turn is ended with
that. Ends with an error where a test fails that is not listed as one that cannot apply. docs/explanation/conformance.md
keeps the count.
"""

import argparse
import importlib
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from chatkit.store import Store
from chatkit.types import AssistantMessageItem, Attachment, Page, ThreadItem, ThreadMetadata, UserMessageItem

from benchmarks.place import place, set_up
from benchmarks.upstream import Count, Upstream, importable

if TYPE_CHECKING:
    from chat.turns.accept import Accepted

FILES = ("tests/test_store.py", "tests/test_chatkit_server.py")
FILE = "attaches a file, for which there is no place"
THREAD = "keeps metadata, a lock or domains of images with a thread; a conversation has a title"
ITEM = "writes an item that no turn makes: a widget, a call of a tool in the page, a form, a second reply, an empty one"
IDS = "asks for ids of the package's own form"
CANCEL = "wants a stream that is closed to stop the reply; here the turn goes on, and is stopped by an action"
CHOICE = "lets the page choose a tool"
ERROR = "asks for an error of the package's or of Python's own; ours are our own, and tell no ids"
TITLE = "wants a thread without a title, and a passage quoted beside a message; here both are made of the message"

CANNOT_APPLY = {
    "save_and_load_thread_metadata": THREAD,
    "saves_thread_metadata": THREAD,
    "saves_thread_locked_fields": THREAD,
    "saves_allowed_image_domains": THREAD,
    "save_and_load_thread_items": ITEM,
    "thread_items_isolation_by_user": ITEM,
    "save_and_load_item": ITEM,
    "workflow_task_not_duplicated": ITEM,
    "emits_thread_updated_mid_stream": ITEM,
    "respond_with_tool_call": ITEM,
    "calls_action": ITEM,
    "add_structured_input": ITEM,
    "thread_item_removed_event": ITEM,
    "thread_item_replaced_event": ITEM,
    "file_without_filestore": ERROR,
    "delete_thread": ERROR,
    "retry_after_item_invalid_item": ERROR,
    "save_and_load_file": FILE,
    "save_and_load_image": FILE,
    "create_file": FILE,
    "create_image_file": FILE,
    "delete_file": FILE,
    "user_message_attachment": FILE,
    "default_id_generators": IDS,
    "stream_cancellation": CANCEL,
    "passes_tools_to_responder": CHOICE,
    "creates_thread": TITLE,
}
CHATKIT = Upstream("openai-chatkit", FILES, CANNOT_APPLY)


@dataclass(frozen=True)
class Context:
    """In the place of the tests' context, which names a person."""

    name: str

    def __init__(self, user_id: str) -> None:
        object.__setattr__(self, "name", user_id)

    @property
    def user_id(self) -> uuid.UUID:
        """The person's id in the record."""
        return uuid.uuid5(uuid.NAMESPACE_DNS, self.name)

    def new_id(self, what: str) -> uuid.UUID:
        """Make an id, as for a request without a key."""
        return uuid.uuid4()


class Names:
    """What tests call their threads and items, and what those are called in the record."""

    def __init__(self) -> None:
        self._ours: dict[str, str] = {}
        self._theirs: dict[str, str] = {}

    def add(self, theirs: str, ours: str) -> None:
        """Remember a name."""
        self._ours[theirs], self._theirs[ours] = ours, theirs

    def ours(self, theirs: str) -> str:
        """Return what something is called in the record."""
        if theirs not in self._ours:
            self.add(theirs, theirs if _is_uuid(theirs) else str(uuid.uuid4()))
        return self._ours[theirs]

    def theirs(self, ours: str) -> str:
        """Return what a test calls something."""
        return self._theirs.get(ours, ours)


names = Names()


class AdaptedStore(Store[Context]):
    """In the place of the tests' `SQLiteStore`."""

    def __init__(self, db_path: str | None = None) -> None:
        from chat.chatkit.store import ConversationStore

        self.db_path = db_path
        self.store = cast(Store[Context], ConversationStore())

    def generate_thread_id(self, context: Context) -> str:
        return self.store.generate_thread_id(context)

    def generate_item_id(self, item_type: Any, thread: ThreadMetadata, context: Context) -> str:
        return self.store.generate_item_id(item_type, thread, context)

    async def load_thread(self, thread_id: str, context: Context) -> ThreadMetadata:
        return _named(await self.store.load_thread(names.ours(thread_id), context))

    async def save_thread(self, thread: ThreadMetadata, context: Context) -> None:
        from chat.infra.db_threads import in_database

        await in_database(_make_person, context.user_id)
        # Metadata is left out, not refused: nearly all threads of these tests have some, few look at it.
        ours = thread.model_copy(update={"id": names.ours(thread.id), "metadata": {}})
        await self.store.save_thread(ours, context)

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Context
    ) -> Page[ThreadItem]:
        seen = names.ours(after) if after else None
        page = await self.store.load_thread_items(names.ours(thread_id), seen, limit, order, context)
        last = names.theirs(page.after) if page.after else None
        return Page(data=[_named_item(item) for item in page.data], has_more=page.has_more, after=last)

    async def load_threads(self, limit: int, after: str | None, order: str, context: Context) -> Page[ThreadMetadata]:
        page = await self.store.load_threads(limit, names.ours(after) if after else None, order, context)
        last = names.theirs(page.after) if page.after else None
        return Page(data=[_named(thread) for thread in page.data], has_more=page.has_more, after=last)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        from chat.infra.db_threads import in_database

        await in_database(_make_person, context.user_id)
        key = names.ours(thread_id)
        if isinstance(item, UserMessageItem):
            called = item.id
            item.id = names.ours(called)
            await self.store.add_thread_item(key, item, context)
            if not _is_uuid(called):
                names.add(called, item.id)
                item.id = called
        elif isinstance(item, AssistantMessageItem):
            text = "".join(part.text for part in item.content)
            names.add(item.id, await in_database(_reply, uuid.UUID(key), text))
        else:
            await self.store.add_thread_item(key, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        await self.store.save_item(names.ours(thread_id), item.model_copy(update={"id": names.ours(item.id)}), context)

    async def load_item(self, thread_id: str, item_id: str, context: Context) -> ThreadItem:
        return _named_item(await self.store.load_item(names.ours(thread_id), names.ours(item_id), context))

    async def delete_thread(self, thread_id: str, context: Context) -> None:
        await self.store.delete_thread(names.ours(thread_id), context)

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Context) -> None:
        await self.store.delete_thread_item(names.ours(thread_id), names.ours(item_id), context)

    async def save_attachment(self, attachment: Attachment, context: Context) -> None:
        await self.store.save_attachment(attachment, context)

    async def load_attachment(self, attachment_id: str, context: Context) -> Attachment:
        return await self.store.load_attachment(attachment_id, context)

    async def delete_attachment(self, attachment_id: str, context: Context) -> None:
        await self.store.delete_attachment(attachment_id, context)


class Accepting:
    """In the place of the process's runner: what is accepted waits, for a test says itself what the reply is."""

    async def send(self, **given: Any) -> "Accepted":
        """Accept a message."""
        from chat.infra.db_threads import in_database
        from chat.turns.accept import accept

        return await in_database(accept, **given)

    async def retry(self, **given: Any) -> "Accepted":
        """Accept another try."""
        from chat.infra.db_threads import in_database
        from chat.turns.accept import accept_retry

        return await in_database(accept_retry, **given)


def _make_person(user_id: uuid.UUID) -> None:
    from chat.models import User

    User.objects.get_or_create(pk=user_id, defaults={"email": f"{user_id}@example.com"})


def _reply(conversation_id: uuid.UUID, text: str) -> str:
    """End the conversation's next turn with a reply; return the message's id."""
    from django.db import transaction

    from chat.chatkit.store import NotOfTurns
    from chat.models.turn import Status
    from chat.turns.events import TurnFinished
    from chat.turns.finish import TurnOutcome, finish
    from chat.turns.lease import lease_of
    from chat.turns.queue import claim_locked

    with transaction.atomic():
        turn = claim_locked(conversation_id, owner=uuid.uuid4())
        if turn is None or not text:
            raise NotOfTurns
        ended = finish(lease_of(turn), TurnOutcome(status=Status.DONE, text=text, items=[]))
    (event,) = ended.events
    assert isinstance(event, TurnFinished)
    return str(event.message.id)


def _named(thread: ThreadMetadata) -> ThreadMetadata:
    return thread.model_copy(update={"id": names.theirs(thread.id)})


def _named_item(item: ThreadItem) -> ThreadItem:
    return item.model_copy(update={"id": names.theirs(item.id), "thread_id": names.theirs(item.thread_id)})


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


class Emptied(Count):
    """Counts, and lets each test begin with an empty record."""

    @pytest.fixture(autouse=True)
    def nobody_is_there(self) -> Iterator[None]:
        """Forget what the test before has left."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE chat_user CASCADE")
        yield


def run(checkout: Path, *options: str) -> Count:
    """Run the files of a checkout with our store and server in the place of theirs."""
    from chat.chatkit.server import Server
    from chat.turns import process

    process._runner = Accepting()  # type: ignore[assignment]
    importable(checkout, checkout / "tests")
    importlib.import_module("tests._types").RequestContext = Context  # type: ignore[attr-defined]
    importlib.import_module("helpers.mock_store").SQLiteStore = AdaptedStore  # type: ignore[attr-defined]
    importlib.import_module("chatkit.server").ChatKitServer = Server  # type: ignore[attr-defined]
    count = Emptied()
    CHATKIT.run(checkout, count, "-W", "ignore", *options)
    return count


def main() -> None:
    """Run the tests of the checkout that the command line names, over a PostgreSQL that is gone afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--verbose", action="store_true", help="say how each test failed")
    given = parser.parse_args()
    with place(durable=False, MESSAGES_PER_MINUTE="100000", QUEUE_PER_CONVERSATION="1000"):
        os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
        set_up()
        how = ["--tb=short"] if given.verbose else ["--tb=no", "--no-summary"]
        passed = CHATKIT.report(run(given.checkout.resolve(), *how))
    sys.exit(not passed)


if __name__ == "__main__":
    main()
