"""Run ChatKit's own tests of stores and servers against ours: how many pass, and why the others do not.

    uv run python -m benchmarks.chatkit_tests path/to/chatkit-python

Runs the unchanged tests of a checkout of the package. Only the setup is adapted: our store, with a PostgreSQL of its
own, replaces their SQLite store. Tests choose ids of threads and items while our database assigns them, so ids are
translated; if a test states the assistant's reply, a turn ends with it. Exits with an error if a test fails that is not
listed in `CANNOT_APPLY`. docs/explanation/conformance.md has the counts.
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

from benchmarks.place import isolated_environment, set_up
from benchmarks.upstream import OutcomeRecorder, Upstream, prepend_to_path

if TYPE_CHECKING:
    from chat.turns.accept import Accepted

FILES = ("tests/test_store.py", "tests/test_chatkit_server.py")
ATTACHMENT = "attaches a file, which is not supported"
THREAD_FIELDS = "stores metadata, a lock or image domains with a thread; a conversation has only a title"
ITEM_KIND = "writes an item that no turn creates: a widget, a client tool call, a form, a second or empty reply"
ID_FORMAT = "expects ids in the package's own format"
CANCEL = "expects a closed stream to stop the reply; here the turn continues until an action stops it"
TOOL_CHOICE = "lets the page choose a tool"
ERROR = "expects an error type of the package or of Python; ours have their own types, and messages without ids"
TITLE = "expects a thread without a title, and a separate quotation; here both are derived from the message"

CANNOT_APPLY = {
    "save_and_load_thread_metadata": THREAD_FIELDS,
    "saves_thread_metadata": THREAD_FIELDS,
    "saves_thread_locked_fields": THREAD_FIELDS,
    "saves_allowed_image_domains": THREAD_FIELDS,
    "save_and_load_thread_items": ITEM_KIND,
    "thread_items_isolation_by_user": ITEM_KIND,
    "save_and_load_item": ITEM_KIND,
    "workflow_task_not_duplicated": ITEM_KIND,
    "emits_thread_updated_mid_stream": ITEM_KIND,
    "respond_with_tool_call": ITEM_KIND,
    "calls_action": ITEM_KIND,
    "add_structured_input": ITEM_KIND,
    "thread_item_removed_event": ITEM_KIND,
    "thread_item_replaced_event": ITEM_KIND,
    "file_without_filestore": ERROR,
    "delete_thread": ERROR,
    "retry_after_item_invalid_item": ERROR,
    "save_and_load_file": ATTACHMENT,
    "save_and_load_image": ATTACHMENT,
    "create_file": ATTACHMENT,
    "create_image_file": ATTACHMENT,
    "delete_file": ATTACHMENT,
    "user_message_attachment": ATTACHMENT,
    "default_id_generators": ID_FORMAT,
    "stream_cancellation": CANCEL,
    "passes_tools_to_responder": TOOL_CHOICE,
    "creates_thread": TITLE,
}
CHATKIT = Upstream("openai-chatkit", FILES, CANNOT_APPLY)


@dataclass(frozen=True)
class Context:
    """Replaces the tests' context, which identifies a user."""

    name: str

    def __init__(self, user_id: str) -> None:
        object.__setattr__(self, "name", user_id)

    @property
    def user_id(self) -> uuid.UUID:
        """The user's id in the database."""
        return uuid.uuid5(uuid.NAMESPACE_DNS, self.name)

    def new_id(self, what: str) -> uuid.UUID:
        """Return a new id, as for a request without an idempotency key."""
        return uuid.uuid4()


class IdMap:
    """The ids of threads and items in the tests, and their ids in the database."""

    def __init__(self) -> None:
        self._ours: dict[str, str] = {}
        self._theirs: dict[str, str] = {}

    def add(self, theirs: str, ours: str) -> None:
        """Store a pair of ids."""
        self._ours[theirs], self._theirs[ours] = ours, theirs

    def ours(self, theirs: str) -> str:
        """Return the id in the database for an id of a test."""
        if theirs not in self._ours:
            self.add(theirs, theirs if _is_uuid(theirs) else str(uuid.uuid4()))
        return self._ours[theirs]

    def theirs(self, ours: str) -> str:
        """Return the id of a test for an id in the database."""
        return self._theirs.get(ours, ours)


ids = IdMap()


class AdaptedStore(Store[Context]):
    """Replaces the tests' `SQLiteStore`."""

    def __init__(self, db_path: str | None = None) -> None:
        from chat.chatkit.store import ConversationStore

        self.db_path = db_path
        self.store = cast(Store[Context], ConversationStore())

    def generate_thread_id(self, context: Context) -> str:
        return self.store.generate_thread_id(context)

    def generate_item_id(self, item_type: Any, thread: ThreadMetadata, context: Context) -> str:
        return self.store.generate_item_id(item_type, thread, context)

    async def load_thread(self, thread_id: str, context: Context) -> ThreadMetadata:
        return _with_test_id(await self.store.load_thread(ids.ours(thread_id), context))

    async def save_thread(self, thread: ThreadMetadata, context: Context) -> None:
        from chat.infra.db_threads import in_database

        await in_database(_create_user, context.user_id)
        # Metadata is dropped, not rejected: nearly all threads of these tests have it, but few tests read it.
        ours = thread.model_copy(update={"id": ids.ours(thread.id), "metadata": {}})
        await self.store.save_thread(ours, context)

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: Context
    ) -> Page[ThreadItem]:
        seen = ids.ours(after) if after else None
        page = await self.store.load_thread_items(ids.ours(thread_id), seen, limit, order, context)
        last = ids.theirs(page.after) if page.after else None
        return Page(data=[_item_with_test_ids(item) for item in page.data], has_more=page.has_more, after=last)

    async def load_threads(self, limit: int, after: str | None, order: str, context: Context) -> Page[ThreadMetadata]:
        page = await self.store.load_threads(limit, ids.ours(after) if after else None, order, context)
        last = ids.theirs(page.after) if page.after else None
        return Page(data=[_with_test_id(thread) for thread in page.data], has_more=page.has_more, after=last)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        from chat.infra.db_threads import in_database

        await in_database(_create_user, context.user_id)
        key = ids.ours(thread_id)
        if isinstance(item, UserMessageItem):
            test_id = item.id
            item.id = ids.ours(test_id)
            await self.store.add_thread_item(key, item, context)
            if not _is_uuid(test_id):
                ids.add(test_id, item.id)
                item.id = test_id
        elif isinstance(item, AssistantMessageItem):
            text = "".join(part.text for part in item.content)
            ids.add(item.id, await in_database(_reply, uuid.UUID(key), text))
        else:
            await self.store.add_thread_item(key, item, context)

    async def save_item(self, thread_id: str, item: ThreadItem, context: Context) -> None:
        await self.store.save_item(ids.ours(thread_id), item.model_copy(update={"id": ids.ours(item.id)}), context)

    async def load_item(self, thread_id: str, item_id: str, context: Context) -> ThreadItem:
        return _item_with_test_ids(await self.store.load_item(ids.ours(thread_id), ids.ours(item_id), context))

    async def delete_thread(self, thread_id: str, context: Context) -> None:
        await self.store.delete_thread(ids.ours(thread_id), context)

    async def delete_thread_item(self, thread_id: str, item_id: str, context: Context) -> None:
        await self.store.delete_thread_item(ids.ours(thread_id), ids.ours(item_id), context)

    async def save_attachment(self, attachment: Attachment, context: Context) -> None:
        await self.store.save_attachment(attachment, context)

    async def load_attachment(self, attachment_id: str, context: Context) -> Attachment:
        return await self.store.load_attachment(attachment_id, context)

    async def delete_attachment(self, attachment_id: str, context: Context) -> None:
        await self.store.delete_attachment(attachment_id, context)


class AcceptOnlyRunner:
    """Replaces the process's runner: accepted turns wait, because the test supplies the reply."""

    async def send(self, **arguments: Any) -> "Accepted":
        """Accept a message."""
        from chat.infra.db_threads import in_database
        from chat.turns.accept import accept

        return await in_database(accept, **arguments)

    async def retry(self, **arguments: Any) -> "Accepted":
        """Accept a retry."""
        from chat.infra.db_threads import in_database
        from chat.turns.accept import accept_retry

        return await in_database(accept_retry, **arguments)


def _create_user(user_id: uuid.UUID) -> None:
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


def _with_test_id(thread: ThreadMetadata) -> ThreadMetadata:
    return thread.model_copy(update={"id": ids.theirs(thread.id)})


def _item_with_test_ids(item: ThreadItem) -> ThreadItem:
    return item.model_copy(update={"id": ids.theirs(item.id), "thread_id": ids.theirs(item.thread_id)})


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


class IsolatedOutcomeRecorder(OutcomeRecorder):
    """Records outcomes, and empties the database before each test."""

    @pytest.fixture(autouse=True)
    def empty_database(self) -> Iterator[None]:
        """Delete the rows of earlier tests."""
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE chat_user CASCADE")
        yield


def run(checkout: Path, *options: str) -> OutcomeRecorder:
    """Run the test files of a checkout with our store and server instead of theirs."""
    from chat.chatkit.server import Server
    from chat.turns import process

    process._runner = AcceptOnlyRunner()  # type: ignore[assignment]
    prepend_to_path(checkout, checkout / "tests")
    importlib.import_module("tests._types").RequestContext = Context  # type: ignore[attr-defined]
    importlib.import_module("helpers.mock_store").SQLiteStore = AdaptedStore  # type: ignore[attr-defined]
    importlib.import_module("chatkit.server").ChatKitServer = Server  # type: ignore[attr-defined]
    recorder = IsolatedOutcomeRecorder()
    CHATKIT.run(checkout, recorder, "-W", "ignore", *options)
    return recorder


def main() -> None:
    """Run the tests of the checkout given on the command line, with a temporary PostgreSQL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--verbose", action="store_true", help="print how each test failed")
    arguments = parser.parse_args()
    with isolated_environment(durable=False, MESSAGES_PER_MINUTE="100000", QUEUE_PER_CONVERSATION="1000"):
        os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
        set_up()
        pytest_options = ["--tb=short"] if arguments.verbose else ["--tb=no", "--no-summary"]
        passed = CHATKIT.report(run(arguments.checkout.resolve(), *pytest_options))
    sys.exit(not passed)


if __name__ == "__main__":
    main()
