"""Pagination of threads and items: each once, in order, with a constant number of queries."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from chatkit.types import Page
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.chatkit import reading
from chat.chatkit.items import question_id
from chat.conversations import services as conversations
from chat.exceptions import NotFound
from chat.models import Conversation, ToolCall, Turn, User
from chat.models.turn import Decision, Status
from chat.tasks import services as tasks
from chat.tests import stored_turns
from chat.turns.events import reply_id

pytestmark = pytest.mark.django_db
Read = Callable[..., "Page[Any]"]


def all_pages(read: Read, *, limit: int, newest_first: bool) -> list[Any]:
    """Follow the cursors of a list and return all its entries."""
    entries, after = [], None
    while True:
        page = read(after=after, limit=limit, newest_first=newest_first)
        assert len(page.data) <= limit
        assert (page.after is not None) == page.has_more
        entries += page.data
        if not page.has_more:
            return entries
        assert page.after == page.data[-1].id
        after = page.after


def threads_of(user: User) -> Read:
    return lambda **params: reading.threads(user.pk, **params)


def items_of(conversation: Conversation) -> Read:
    return lambda **params: reading.items(conversation.user_id, str(conversation.pk), **params)


def count_queries(read: Callable[[], object]) -> int:
    """Return the number of queries of a read."""
    with CaptureQueriesContext(connection) as captured:
        read()
    return len(captured)


def fill(user: User, turns: int) -> Conversation:
    """Create a conversation with this many turns, each with a tool call."""
    conversation = stored_turns.conversation(user)
    for n in range(turns):
        stored_turns.add_turn(conversation, f"say {n}", f"reply {n}", calls=1)
    return conversation


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_threads_created_at_the_same_time_are_each_listed_once(owner: User, outsider: User, limit: int) -> None:
    now = timezone.now()
    for n in range(7):
        stored_turns.conversation(owner, f"chat {n}")
    Conversation.objects.update(created_at=now)
    first = stored_turns.conversation(owner, "first")
    Conversation.objects.filter(pk=first.pk).update(created_at=now - timedelta(days=1))
    stored_turns.conversation(outsider)
    rows = Conversation.objects.owned_by(owner.pk).order_by("created_at", "id")
    in_order = [(str(row.pk), row.title, row.created_at) for row in rows]
    assert in_order[0][1] == "first"
    for newest_first, expected in [(False, in_order), (True, in_order[::-1])]:
        entries = all_pages(threads_of(owner), limit=limit, newest_first=newest_first)
        assert [(thread.id, thread.title, thread.created_at) for thread in entries] == expected


def test_archived_thread_is_unlisted_and_trashed_thread_is_not_found(owner: User) -> None:
    active, archived, trashed = (stored_turns.conversation(owner, title) for title in ("seen", "away", "thrown"))
    stored_turns.add_turn(trashed, "Hello")
    conversations.archive(user_id=owner.pk, conversation_id=archived.pk)
    conversations.trash(user_id=owner.pk, conversation_id=trashed.pk)
    assert [thread.id for thread in threads_of(owner)(after=None, limit=10, newest_first=True).data] == [str(active.pk)]
    assert reading.thread(owner.pk, str(archived.pk)).title == "away"
    for read in (reading.thread, lambda user, key: reading.items(user, key, after=None, limit=1, newest_first=True)):
        with pytest.raises(NotFound):
            read(owner.pk, str(trashed.pk))
    # A thread that was trashed in the meantime still works as a cursor.
    page = threads_of(owner)(after=str(trashed.pk), limit=10, newest_first=True)
    assert [thread.id for thread in page.data] == [str(active.pk)]


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
def test_items_are_each_listed_once_in_turn_order(owner: User, limit: int) -> None:
    conversation = fill(owner, 5)
    stored_turns.add_turn(conversation, "nothing came of it", None, status=Status.FAILED, error="It broke.")
    stored_turns.add_turn(conversation, "waiting", None, status=Status.QUEUED)
    kinds = ["user_message", "workflow", "assistant_message"] * 5 + ["user_message"] * 2
    entries = all_pages(items_of(conversation), limit=limit, newest_first=False)
    assert [item.type for item in entries] == kinds
    assert len({item.id for item in entries}) == len(entries)
    assert all_pages(items_of(conversation), limit=limit, newest_first=True) == entries[::-1]
    for item in entries:
        assert reading.item(owner.pk, str(conversation.pk), item.id) == item


def test_earlier_version_of_a_reply_is_not_found(owner: User) -> None:
    conversation = stored_turns.conversation(owner)
    old = stored_turns.add_turn(conversation, "plan", "One.")
    stored_turns.add_turn(conversation, "plan", "Better.", retry_of=old)
    prompt, reply = items_of(conversation)(after=None, limit=10, newest_first=False).data
    assert (prompt.id, reply.content[0].text) == (str(old.prompt_id), "Better.")
    superseded = old.messages.get(role="assistant")
    with pytest.raises(NotFound):
        reading.item(owner.pk, str(conversation.pk), str(superseded.pk))
    with pytest.raises(NotFound):
        items_of(conversation)(after=str(superseded.pk), limit=1, newest_first=False)


def test_waiting_turn_has_its_text_and_its_approval_as_items(owner: User) -> None:
    conversation = stored_turns.conversation(owner)
    for title in ("Milk", "Bread"):
        tasks.create_task(user_id=owner.pk, title=title)
    turn = stored_turns.add_turn(conversation, "delete both", None, status=Status.WAITING, so_far="Gladly.")
    ToolCall.objects.create(
        turn=turn, call_id="c", name="delete_tasks", arguments={"numbers": [1, 2]}, decision=Decision.AWAITING
    )
    _, reply, question = items_of(conversation)(after=None, limit=10, newest_first=False).data
    assert (reply.id, reply.content[0].text) == (str(reply_id(turn.pk)), "Gladly.")
    assert question.id == question_id(turn.pk, "c")
    assert question.copy_text == "Delete 2 tasks?\n#1 Milk\n#2 Bread"
    # Both items work as cursors.
    assert items_of(conversation)(after=reply.id, limit=10, newest_first=False).data == [question]
    assert items_of(conversation)(after=question.id, limit=1, newest_first=True).data == [reply]


@pytest.mark.parametrize("key", ["", "x", "thr_1", str(uuid.UUID(int=7)), "\x00", ":", str(uuid.UUID(int=0))])
def test_unknown_id_raises_not_found(owner: User, key: str) -> None:
    conversation = fill(owner, 1)
    for read in (
        lambda: reading.thread(owner.pk, key),
        lambda: reading.item(owner.pk, key, key),
        lambda: reading.item(owner.pk, str(conversation.pk), key),
        lambda: threads_of(owner)(after=key, limit=1, newest_first=True),
        lambda: items_of(conversation)(after=key, limit=1, newest_first=True),
        lambda: reading.active_turns(owner.pk, key),
    ):
        with pytest.raises(NotFound):
            read()


def test_ids_of_another_user_raise_not_found(owner: User, outsider: User) -> None:
    conversation, own = fill(owner, 1), fill(outsider, 1)
    item = items_of(conversation)(after=None, limit=1, newest_first=True).data[0].id
    for read in (
        lambda: reading.thread(outsider.pk, str(conversation.pk)),
        lambda: reading.item(outsider.pk, str(conversation.pk), item),
        lambda: reading.item(outsider.pk, str(own.pk), item),
        lambda: reading.turn(outsider.pk, Turn.objects.get(conversation=conversation).pk),
        lambda: threads_of(outsider)(after=str(conversation.pk), limit=1, newest_first=True),
        lambda: items_of(own)(after=item, limit=1, newest_first=True),
    ):
        with pytest.raises(NotFound):
            read()


def test_page_has_at_most_100_items(owner: User) -> None:
    conversation = fill(owner, 40)
    assert len(items_of(conversation)(after=None, limit=10**9, newest_first=True).data) == 100
    assert len(items_of(conversation)(after=None, limit=-1, newest_first=True).data) == 1


def test_query_count_does_not_depend_on_list_length(owner: User, outsider: User) -> None:
    short, long = fill(owner, 3), fill(outsider, 60)
    for _ in range(60):
        stored_turns.conversation(outsider)
    counts = []
    for conversation in (short, long):
        user, key, last = conversation.user, str(conversation.pk), str(conversation.turns.get(seq=2).prompt_id)
        threads, items = threads_of(user), items_of(conversation)
        counts.append(
            [
                count_queries(partial(threads, after=None, limit=20, newest_first=True)),
                count_queries(partial(threads, after=key, limit=20, newest_first=True)),
                count_queries(partial(items, after=None, limit=20, newest_first=True)),
                count_queries(partial(items, after=last, limit=20, newest_first=False)),
                count_queries(partial(reading.item, user.pk, key, last)),
            ]
        )
    assert counts == [[1, 2, 4, 6, 6]] * 2
