"""Threads and items a page at a time: each once, in order, and as quickly however many there are."""

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
from chat.tests import talk
from chat.turns.events import reply_id

pytestmark = pytest.mark.django_db
Read = Callable[..., "Page[Any]"]


def all_pages(read: Read, *, limit: int, newest_first: bool) -> list[Any]:
    """Go through a list by its cursors."""
    found, after = [], None
    while True:
        page = read(after=after, limit=limit, newest_first=newest_first)
        assert len(page.data) <= limit
        assert (page.after is not None) == page.has_more
        found += page.data
        if not page.has_more:
            return found
        assert page.after == page.data[-1].id
        after = page.after


def threads_of(user: User) -> Read:
    return lambda **how: reading.threads(user.pk, **how)


def items_of(talked: Conversation) -> Read:
    return lambda **how: reading.items(talked.user_id, str(talked.pk), **how)


def queries(read: Callable[[], object]) -> int:
    """Count the queries of a question."""
    with CaptureQueriesContext(connection) as captured:
        read()
    return len(captured)


def fill(user: User, turns: int) -> Conversation:
    """Make a conversation of so many turns, each with a call."""
    talked = talk.conversation(user)
    for n in range(turns):
        talk.say(talked, f"say {n}", f"reply {n}", calls=1)
    return talked


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_threads_that_began_at_the_same_moment_come_once_each(owner: User, outsider: User, limit: int) -> None:
    now = timezone.now()
    for n in range(7):
        talk.conversation(owner, f"chat {n}")
    Conversation.objects.update(created_at=now)
    first = talk.conversation(owner, "first")
    Conversation.objects.filter(pk=first.pk).update(created_at=now - timedelta(days=1))
    talk.conversation(outsider)
    rows = Conversation.objects.owned_by(owner.pk).order_by("created_at", "id")
    in_order = [(str(row.pk), row.title, row.created_at) for row in rows]
    assert in_order[0][1] == "first"
    for newest_first, wanted in [(False, in_order), (True, in_order[::-1])]:
        found = all_pages(threads_of(owner), limit=limit, newest_first=newest_first)
        assert [(thread.id, thread.title, thread.created_at) for thread in found] == wanted


def test_what_is_put_away_is_in_no_list_and_what_is_thrown_away_is_gone(owner: User) -> None:
    seen, put_away, thrown_away = (talk.conversation(owner, title) for title in ("seen", "away", "thrown"))
    talk.say(thrown_away, "Hello")
    conversations.archive(user_id=owner.pk, conversation_id=put_away.pk)
    conversations.trash(user_id=owner.pk, conversation_id=thrown_away.pk)
    assert [thread.id for thread in threads_of(owner)(after=None, limit=10, newest_first=True).data] == [str(seen.pk)]
    assert reading.thread(owner.pk, str(put_away.pk)).title == "away"
    for read in (reading.thread, lambda user, key: reading.items(user, key, after=None, limit=1, newest_first=True)):
        with pytest.raises(NotFound):
            read(owner.pk, str(thrown_away.pk))
    # A list that was begun goes on beyond what was put away meanwhile.
    page = threads_of(owner)(after=str(thrown_away.pk), limit=10, newest_first=True)
    assert [thread.id for thread in page.data] == [str(seen.pk)]


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
def test_items_come_once_each_in_the_order_of_the_turns(owner: User, limit: int) -> None:
    talked = fill(owner, 5)
    talk.say(talked, "nothing came of it", None, status=Status.FAILED, error="It broke.")
    talk.say(talked, "waiting", None, status=Status.QUEUED)
    kinds = ["user_message", "workflow", "assistant_message"] * 5 + ["user_message"] * 2
    found = all_pages(items_of(talked), limit=limit, newest_first=False)
    assert [item.type for item in found] == kinds
    assert len({item.id for item in found}) == len(found)
    assert all_pages(items_of(talked), limit=limit, newest_first=True) == found[::-1]
    for item in found:
        assert reading.item(owner.pk, str(talked.pk), item.id) == item


def test_an_earlier_version_is_not_shown(owner: User) -> None:
    talked = talk.conversation(owner)
    old = talk.say(talked, "plan", "One.")
    talk.say(talked, "plan", "Better.", retry_of=old)
    said, reply = items_of(talked)(after=None, limit=10, newest_first=False).data
    assert (said.id, reply.content[0].text) == (str(old.prompt_id), "Better.")
    superseded = old.messages.get(role="assistant")
    with pytest.raises(NotFound):
        reading.item(owner.pk, str(talked.pk), str(superseded.pk))
    with pytest.raises(NotFound):
        items_of(talked)(after=str(superseded.pk), limit=1, newest_first=False)


def test_a_turn_that_waits_shows_what_it_said_and_what_it_asks(owner: User) -> None:
    talked = talk.conversation(owner)
    for title in ("Milk", "Bread"):
        tasks.create_task(user_id=owner.pk, title=title)
    turn = talk.say(talked, "delete both", None, status=Status.WAITING, so_far="Gladly.")
    ToolCall.objects.create(
        turn=turn, call_id="c", name="delete_tasks", arguments={"numbers": [1, 2]}, decision=Decision.AWAITING
    )
    _, reply, question = items_of(talked)(after=None, limit=10, newest_first=False).data
    assert (reply.id, reply.content[0].text) == (str(reply_id(turn.pk)), "Gladly.")
    assert question.id == question_id(turn.pk, "c")
    assert question.copy_text == "Delete 2 tasks?\n#1 Milk\n#2 Bread"
    # Each of them is a place to go on from.
    assert items_of(talked)(after=reply.id, limit=10, newest_first=False).data == [question]
    assert items_of(talked)(after=question.id, limit=1, newest_first=True).data == [reply]


@pytest.mark.parametrize("key", ["", "x", "thr_1", str(uuid.UUID(int=7)), "\x00", ":", str(uuid.UUID(int=0))])
def test_an_id_that_nothing_has_is_found_nowhere(owner: User, key: str) -> None:
    talked = fill(owner, 1)
    for read in (
        lambda: reading.thread(owner.pk, key),
        lambda: reading.item(owner.pk, key, key),
        lambda: reading.item(owner.pk, str(talked.pk), key),
        lambda: threads_of(owner)(after=key, limit=1, newest_first=True),
        lambda: items_of(talked)(after=key, limit=1, newest_first=True),
        lambda: reading.active_turns(owner.pk, key),
    ):
        with pytest.raises(NotFound):
            read()


def test_nothing_of_anybody_elses_is_found(owner: User, outsider: User) -> None:
    talked, theirs = fill(owner, 1), fill(outsider, 1)
    item = items_of(talked)(after=None, limit=1, newest_first=True).data[0].id
    for read in (
        lambda: reading.thread(outsider.pk, str(talked.pk)),
        lambda: reading.item(outsider.pk, str(talked.pk), item),
        lambda: reading.item(outsider.pk, str(theirs.pk), item),
        lambda: reading.turn(outsider.pk, Turn.objects.get(conversation=talked).pk),
        lambda: threads_of(outsider)(after=str(talked.pk), limit=1, newest_first=True),
        lambda: items_of(theirs)(after=item, limit=1, newest_first=True),
    ):
        with pytest.raises(NotFound):
            read()


def test_a_page_is_never_longer_than_a_hundred(owner: User) -> None:
    talked = fill(owner, 40)
    assert len(items_of(talked)(after=None, limit=10**9, newest_first=True).data) == 100
    assert len(items_of(talked)(after=None, limit=-1, newest_first=True).data) == 1


def test_a_longer_list_takes_no_more_queries(owner: User, outsider: User) -> None:
    short, long = fill(owner, 3), fill(outsider, 60)
    for _ in range(60):
        talk.conversation(outsider)
    counts = []
    for talked in (short, long):
        user, key, last = talked.user, str(talked.pk), str(talked.turns.get(seq=2).prompt_id)
        threads, items = threads_of(user), items_of(talked)
        counts.append(
            [
                queries(partial(threads, after=None, limit=20, newest_first=True)),
                queries(partial(threads, after=key, limit=20, newest_first=True)),
                queries(partial(items, after=None, limit=20, newest_first=True)),
                queries(partial(items, after=last, limit=20, newest_first=False)),
                queries(partial(reading.item, user.pk, key, last)),
            ]
        )
    assert counts == [[1, 2, 4, 6, 6]] * 2
