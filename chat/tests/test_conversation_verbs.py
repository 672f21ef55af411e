"""Pinning, archiving, trashing, restoring and purging a conversation: effects, and when they are rejected."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from django.apps import apps
from django.db.models import Model
from django.utils import timezone
from pytest_django import Settings

from chat.conversations import listing
from chat.conversations import services as conversations
from chat.exceptions import BadInput, Conflict, MemoryUnavailable, NotFound, TooLong
from chat.memory import removal
from chat.memory.file_store import FileStore
from chat.memory.identity import SessionId
from chat.memory.metadata import update_metadata
from chat.memory.statements import Append, Fence, Size
from chat.memory.sync_file import opened
from chat.models import (
    AdoptedItems,
    AgentSession,
    Conversation,
    Message,
    Quarantined,
    Task,
    ToolCall,
    Turn,
    TurnStep,
    User,
)
from chat.models.search import MessageVector, TitleVector
from chat.models.turn import SUPERSEDED, Decision, Status
from chat.read_models import ConversationOut
from chat.tasks import services as tasks
from chat.tests import stored_turns
from chat.turns.accept import accept

pytestmark = pytest.mark.django_db
VERBS = ["pin", "unpin", "archive", "unarchive", "keep", "trash", "restore", "purge"]


@pytest.fixture
def groceries(owner: User) -> Conversation:
    return stored_turns.conversation(owner)


@pytest.fixture
def session_file(tmp_path: Path, settings: Settings) -> Path:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "agent_sessions.db"
    return tmp_path / "agent_sessions.db"


def do(verb: str, conversation: Conversation, user: User | None = None) -> object:
    function: Callable[..., object] = getattr(conversations, verb)
    return function(user_id=(user or conversation.user).pk, conversation_id=conversation.pk)


def test_new_conversation_is_named_after_its_first_message(owner: User) -> None:
    line = conversations.begin(user_id=owner.pk)
    assert (line.title, line.trashed) == ("", False)
    accept(user_id=owner.pk, conversation_id=line.id, client_id=uuid.uuid4(), text="Buy milk")
    assert Conversation.objects.get(pk=line.id).title == "Buy milk"


def test_begin_with_an_existing_id_changes_nothing(owner: User, outsider: User) -> None:
    line = conversations.begin(user_id=owner.pk, title="  My\n list ")
    assert line.title == "My list"
    again = conversations.begin(user_id=owner.pk, conversation_id=line.id, title="Other")
    assert (again.id, again.title) == (line.id, "My list")
    with pytest.raises(NotFound):
        conversations.begin(user_id=outsider.pk, conversation_id=line.id)


def test_rename_sets_the_title_and_keeps_the_conversation(groceries: Conversation, outsider: User) -> None:
    before = groceries.updated_at
    rename = partial(conversations.rename, conversation_id=groceries.pk)
    assert rename(user_id=groceries.user_id, title=" Week\tplan ").title == "Week plan"
    groceries.refresh_from_db()
    assert (groceries.title, groceries.updated_at) == ("Week plan", before)
    assert groceries.kept_at is not None
    for title, error in [("  ", BadInput), ("x" * 101, TooLong), ("\x00", BadInput), ("\ud800", BadInput)]:
        with pytest.raises(error):
            rename(user_id=groceries.user_id, title=title)
    with pytest.raises(NotFound):
        rename(user_id=outsider.pk, title="Mine")
    do("trash", groceries)
    with pytest.raises(Conflict):
        rename(user_id=groceries.user_id, title="Late")
    groceries.refresh_from_db()
    assert groceries.title == "Week plan"


def titles(lines: object) -> list[str]:
    return [line.title for line in lines]  # type: ignore[attr-defined]


def store_session(path: Path, conversation: Conversation) -> str:
    """Give a conversation a session of two items; return its id."""
    session_id = SessionId(conversation.user_id, conversation.pk)

    async def write() -> None:
        store = FileStore(path)
        await store.write(Append(str(session_id), Fence(1, 1), [{"role": "user", "content": "Hello"}] * 2))
        await store.close()

    asyncio.run(write())
    update_metadata(session_id, size=Size(2, 50), now=timezone.now())
    return str(session_id)


def hold(conversation: Conversation, until: timedelta | None = None) -> None:
    session_rows = AgentSession.objects.filter(conversation=conversation)
    if not session_rows.exists():
        update_metadata(SessionId(conversation.user_id, conversation.pk), size=Size(0, 0), now=timezone.now())
    end = timezone.now() + until if until else None
    session_rows.update(held_at=timezone.now(), held_until=end, hold_reason="Fraud")


def test_pinned_conversations_are_listed_first(owner: User, groceries: Conversation) -> None:
    stored_turns.conversation(owner, "Later", at=timezone.now() + timedelta(hours=1))
    assert titles(listing.conversations_of(owner).conversations) == ["Later", "Groceries"]
    do("pin", groceries)
    assert titles(listing.conversations_of(owner).conversations) == ["Groceries", "Later"]
    do("unpin", groceries)
    assert titles(listing.conversations_of(owner).conversations) == ["Later", "Groceries"]


def test_archived_conversation_is_listed_in_the_archive_only(owner: User, groceries: Conversation) -> None:
    do("pin", groceries)
    line = do("archive", groceries)
    assert isinstance(line, ConversationOut)
    assert (line.pinned, line.archived, line.trashed) == (False, True, False)
    assert (titles(listing.conversations_of(owner).conversations), titles(listing.archive_of(owner).conversations)) == (
        [],
        ["Groceries"],
    )
    do("unarchive", groceries)
    assert (titles(listing.conversations_of(owner).conversations), titles(listing.archive_of(owner).conversations)) == (
        ["Groceries"],
        [],
    )


def test_pinning_unarchives_a_conversation(owner: User, groceries: Conversation) -> None:
    do("archive", groceries)
    do("pin", groceries)
    assert titles(listing.conversations_of(owner).conversations) == ["Groceries"]


@pytest.mark.parametrize("before", ["pin", "archive", "keep"])
def test_restored_conversation_returns_to_its_list(owner: User, groceries: Conversation, before: str) -> None:
    do(before, groceries)
    lists = listing.conversations_of(owner).conversations, listing.archive_of(owner).conversations
    line = do("trash", groceries)
    assert isinstance(line, ConversationOut)
    assert line.purge_on and line.purge_on - timezone.now() > timedelta(days=29, hours=23)
    assert (listing.conversations_of(owner).conversations, listing.archive_of(owner).conversations) == ((), ())
    assert titles(listing.trash_of(owner).conversations) == ["Groceries"]
    do("restore", groceries)
    assert (listing.conversations_of(owner).conversations, listing.archive_of(owner).conversations) == lists
    assert listing.trash_of(owner).total == 0


@pytest.mark.parametrize("verb", VERBS)
def test_conversation_of_another_user_is_not_found(
    groceries: Conversation, outsider: User, staff: User, verb: str
) -> None:
    if verb in ("purge", "restore"):
        do("trash", groceries)
    before = Conversation.objects.values().get(pk=groceries.pk)
    for other_user in (outsider, staff):
        with pytest.raises(NotFound):
            do(verb, groceries, other_user)
    with pytest.raises(NotFound):
        conversations.pin(user_id=groceries.user_id, conversation_id=uuid.uuid4())
    assert Conversation.objects.values().get(pk=groceries.pk) == before


@pytest.mark.parametrize("verb", ["pin", "unpin", "archive", "unarchive", "keep"])
def test_trashed_conversation_must_be_restored_first(groceries: Conversation, verb: str) -> None:
    do("trash", groceries)
    with pytest.raises(Conflict, match="in the trash"):
        do(verb, groceries)


@pytest.mark.parametrize("verb", ["trash", "purge"])
def test_held_conversation_cannot_be_trashed_and_the_reason_is_hidden(
    groceries: Conversation, session_file: Path, verb: str
) -> None:
    if verb == "purge":
        do("trash", groceries)
    hold(groceries)
    with pytest.raises(Conflict) as exc_info:
        do(verb, groceries)
    assert exc_info.value.detail == "Your administrator has asked to keep this chat for now."
    groceries.refresh_from_db()
    assert (groceries.trashed_at is None) == (verb == "trash")


def test_expired_hold_does_not_prevent_trashing(groceries: Conversation) -> None:
    hold(groceries, timedelta(seconds=-1))
    do("trash", groceries)
    assert Conversation.objects.get().trashed_at


def test_trashing_stops_running_and_queued_turns(groceries: Conversation) -> None:
    running = stored_turns.add_turn(groceries, "Add milk", None, status=Status.RUNNING)
    queued = stored_turns.add_turn(groceries, "And eggs", None, status=Status.QUEUED)
    do("trash", groceries)
    running.refresh_from_db()
    queued.refresh_from_db()
    assert (running.status, running.stop_asked, queued.status) == (Status.RUNNING, True, Status.STOPPED)
    with pytest.raises(Conflict, match="busy"):
        do("purge", groceries)


def test_trashing_declines_waiting_approvals(groceries: Conversation) -> None:
    waiting = stored_turns.add_turn(groceries, "Delete all", None, status=Status.WAITING, so_far="I would delete")
    call = ToolCall.objects.create(
        turn=waiting, call_id="c", name="delete_tasks", arguments={}, decision=Decision.AWAITING
    )
    do("trash", groceries)
    call.refresh_from_db()
    waiting.refresh_from_db()
    assert (call.decision, call.decided_by, waiting.status) == (Decision.DECLINED, SUPERSEDED, Status.STOPPED)
    groceries.refresh_from_db()
    assert groceries.trashed_at and groceries.last_position == 2  # the text so far is kept


@pytest.mark.parametrize("verb", ["archive", "trash"])
def test_new_message_restores_the_conversation(groceries: Conversation, verb: str) -> None:
    do(verb, groceries)
    new_message = {"client_id": uuid.uuid4(), "text": "Add milk"}
    accept(user_id=groceries.user_id, conversation_id=groceries.pk, **new_message)  # type: ignore[arg-type]
    groceries.refresh_from_db()
    assert (groceries.archived_at, groceries.trashed_at) == (None, None)


def test_purge_needs_a_trashed_conversation(groceries: Conversation, session_file: Path) -> None:
    with pytest.raises(Conflict, match="in the trash"):
        do("purge", groceries)
    assert Conversation.objects.exists()


def test_purge_removes_every_row_of_the_conversation_only(
    owner: User, groceries: Conversation, session_file: Path
) -> None:
    other = stored_turns.conversation(owner, "Other")
    tasks.create_task(user_id=owner.pk, title="Buy milk")
    for conversation in (groceries, other):
        turn = stored_turns.add_turn(conversation, "Add milk", calls=2)
        stored_turns.add_turn(conversation, "", "Again.", retry_of=turn)
        TurnStep.objects.create(turn=turn, n=1, output=[], usage={}, duration_ms=1)
        Quarantined.objects.create(session_id=store_session(session_file, conversation), content="x", reason="torn")
    do("trash", groceries)

    purged = do("purge", groceries)

    assert purged == conversations.Purged(groceries.pk, "Groceries", 3)
    kept = str(SessionId(owner.pk, other.pk))
    assert list(Conversation.objects.all()) == [other]
    assert set(Turn.objects.values_list("conversation", flat=True)) == {other.pk}
    assert set(Message.objects.values_list("conversation", flat=True)) == {other.pk}
    assert set(AgentSession.objects.values_list("session_id", flat=True)) == {kept}
    assert set(Quarantined.objects.values_list("session_id", flat=True)) == {kept}
    assert (TurnStep.objects.count(), ToolCall.objects.count(), Task.objects.count()) == (1, 2, 1)
    with opened(session_file) as file:
        sizes = file.measure([kept, str(SessionId(owner.pk, groceries.pk))])
    assert [sizes[session].items for session in sizes] == [2, 0]
    with pytest.raises(NotFound):
        do("restore", groceries)


def test_empty_trash_purges_own_and_leaves_held_or_busy_conversations(
    owner: User, outsider: User, session_file: Path
) -> None:
    untrashed, held, busy, *trashed_rows = (
        stored_turns.conversation(owner, title) for title in ("Here", "Held", "Busy", "One", "Two")
    )
    outsiders = stored_turns.conversation(outsider, "Theirs")
    for row in (held, busy, outsiders, *trashed_rows):
        do("trash", row)
    store_session(session_file, trashed_rows[0])
    hold(held)
    busy.refresh_from_db()
    stored_turns.add_turn(busy, "Add milk", None, status=Status.RUNNING)

    emptied = conversations.empty_trash(user_id=owner.pk)

    assert (set(emptied.ids), emptied.left) == ({row.pk for row in trashed_rows}, 2)
    assert set(Conversation.objects.all()) == {untrashed, held, busy, outsiders}
    with opened(session_file) as file:
        assert file.measure([str(SessionId(owner.pk, trashed_rows[0].pk))]).popitem()[1] == Size(0, 0)
    assert conversations.empty_trash(user_id=owner.pk) == conversations.Emptied((), 2)


def test_removal_covers_every_table_that_refers_to_a_conversation() -> None:
    # PostgreSQL cascades to these tables.
    cascading: set[type[Model]] = {AdoptedItems, MessageVector, TitleVector}
    known: set[type[Model]] = {Conversation}
    found = known
    while found:
        found = {
            model
            for model in apps.get_models()
            for field in model._meta.concrete_fields
            if field.remote_field and field.remote_field.model in found and model not in known | cascading
        }
        known |= found
    deleted = " ".join(removal._DELETE)
    assert {model._meta.db_table for model in known if f"FROM {model._meta.db_table} " not in deleted} == set()


def test_purge_with_a_corrupt_session_file_deletes_nothing(groceries: Conversation, session_file: Path) -> None:
    stored_turns.add_turn(groceries, "Add milk")
    do("trash", groceries)
    session_file.write_bytes(b"this is no database at all, only text" * 100)
    with pytest.raises(MemoryUnavailable):
        do("purge", groceries)
    assert (Conversation.objects.count(), Message.objects.count()) == (1, 2)


def conversations_by_age(owner: User, *days: float) -> dict[float, Conversation]:
    return {age: stored_turns.conversation(owner, f"{age}", at=timezone.now() - timedelta(days=age)) for age in days}


def test_conversations_due_for_the_trash_within_a_week_are_listed(owner: User, outsider: User) -> None:
    rows = conversations_by_age(owner, 22.99, 23.01, 29, 31)
    conversations_by_age(outsider, 25)
    assert titles(listing.leaving_of(owner).conversations) == ["31", "29", "23.01"]
    assert listing.leaving_count(owner) == 3
    now = timezone.now()
    trash_dates = {age: listing.conversation_out(row).trash_on for age, row in rows.items()}
    assert trash_dates[22.99] is None
    assert trash_dates[29] and abs(trash_dates[29] - now - timedelta(days=1)) < timedelta(minutes=1)


@pytest.mark.parametrize("verb", ["keep", "pin", "unpin", "unarchive", "restore"])
def test_user_action_keeps_the_conversation(owner: User, verb: str) -> None:
    row = conversations_by_age(owner, 29)[29]
    if verb == "restore":
        do("trash", row)
    do(verb, row)
    assert listing.leaving_count(owner) == 0
    do("keep", row)
    assert listing.conversation_out(Conversation.objects.get()).trash_on is None


def test_keep_all_keeps_only_own_conversations(owner: User, outsider: User) -> None:
    conversations_by_age(owner, 1, 25, 29)
    conversations_by_age(outsider, 25)
    assert conversations.keep_all(user_id=owner.pk) == 2
    assert (listing.leaving_count(owner), listing.leaving_count(outsider)) == (0, 1)


@pytest.mark.parametrize("place", ["pinned_at", "trashed_at"])
def test_pinned_or_trashed_conversation_is_not_listed_as_leaving(owner: User, place: str) -> None:
    conversations_by_age(owner, 29)
    Conversation.objects.update(**{place: timezone.now() - timedelta(days=28)})
    assert listing.leaving_count(owner) == 0
    assert listing.conversation_out(Conversation.objects.get()).trash_on is None


def test_held_conversation_has_no_trash_or_purge_date(owner: User) -> None:
    row = conversations_by_age(owner, 29)[29]
    hold(row)
    assert (listing.leaving_count(owner), listing.conversation_out(row).trash_on) == (0, None)
    Conversation.objects.update(trashed_at=timezone.now())
    row.refresh_from_db()
    assert listing.conversation_out(row).purge_on is None


def test_short_retention_lists_no_conversation_on_its_first_day(owner: User, settings: Settings) -> None:
    settings.CONVERSATION_RETENTION_DAYS = 3
    conversations_by_age(owner, 0.9, 1.1)
    assert titles(listing.leaving_of(owner).conversations) == ["1.1"]
