"""An acknowledged message is stored exactly once, at its position in the queue."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any, TypeVar

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from chat.exceptions import BadInput, EmptyText, NotFound, RateLimited, TooLong
from chat.models import Conversation, Message, Turn, User
from chat.models.turn import Status
from chat.turns.accept import Accepted, accept, accept_retry, title_from
from chat.turns.queue import claim, claim_waiting

T = TypeVar("T")

RUNNER = uuid.uuid4()


def send(user: User, conversation_id: uuid.UUID, text: str = "hi", **more: Any) -> Accepted:
    arguments: dict[str, Any] = {"client_id": uuid.uuid4(), "runner": RUNNER, **more}
    return accept(user_id=user.pk, conversation_id=conversation_id, text=text, **arguments)


def run_concurrently(calls: list[Callable[[], T]]) -> list[T]:
    """Run calls at the same moment, each in its own thread with its own connection."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        try:
            connection.ensure_connection()
            barrier.wait(30)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def test_turn_of_an_idle_conversation_runs_immediately(owner: User) -> None:
    accepted = send(owner, uuid.uuid4(), "Hello there")

    turn = Turn.objects.get()
    assert (turn.status, turn.owner, turn.attempt, turn.seq) == (Status.RUNNING, RUNNER, 1, 1)
    assert accepted.ahead == 0
    assert accepted.message.position == 1
    assert Conversation.objects.get().title == "Hello there"


def test_unknown_model_is_rejected_and_nothing_is_stored(owner: User) -> None:
    conversation_id = uuid.uuid4()
    with pytest.raises(BadInput, match="There is no model of this name"):
        send(owner, conversation_id, model="unknown")
    assert not Conversation.objects.exists()
    send(owner, conversation_id)
    with pytest.raises(BadInput, match="There is no model of this name"):
        send(owner, conversation_id, model="unknown")
    assert Turn.objects.count() == 1


def test_turn_behind_a_running_one_is_queued(owner: User) -> None:
    conversation_id = uuid.uuid4()
    send(owner, conversation_id)

    second, third = send(owner, conversation_id), send(owner, conversation_id)

    assert [second.turn.status, third.turn.status] == [Status.QUEUED, Status.QUEUED]
    assert [second.ahead, third.ahead] == [1, 2]


def test_turn_without_a_runner_is_queued(owner: User) -> None:
    accepted = accept(user_id=owner.pk, conversation_id=uuid.uuid4(), client_id=uuid.uuid4(), text="hi")

    assert accepted.turn.status == Status.QUEUED


def test_same_client_id_returns_the_same_message(owner: User) -> None:
    conversation_id, client_id = uuid.uuid4(), uuid.uuid4()

    first = send(owner, conversation_id, "one", client_id=client_id)
    again = send(owner, conversation_id, "one", client_id=client_id)

    assert again.message == first.message
    assert (first.is_new, again.is_new) == (True, False)
    assert Message.objects.count() == Turn.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", [0, 1])
def test_concurrent_sends_with_one_client_id_store_one_message(owner: User, before: int) -> None:
    conversation_id, client_id = uuid.uuid4(), uuid.uuid4()
    for _ in range(before):
        send(owner, conversation_id)

    results = run_concurrently([lambda: send(owner, conversation_id, client_id=client_id)] * 8)

    assert sum(result.is_new for result in results) == 1
    assert Message.objects.count() == before + 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_sends_get_gapless_positions_and_one_turn_runs(owner: User) -> None:
    conversation_id = uuid.uuid4()

    run_concurrently([lambda: send(owner, conversation_id)] * 12)

    assert list(Message.objects.order_by("position").values_list("position", flat=True)) == list(range(1, 13))
    assert sorted(Turn.objects.values_list("seq", flat=True)) == list(range(1, 13))
    assert Turn.objects.filter(status=Status.RUNNING).count() == 1


def finish_turn_with_tokens(accepted: Accepted, tokens: int, status: Status = Status.DONE) -> None:
    usage = {"input_tokens": tokens - 1, "output_tokens": 1}
    Turn.objects.filter(pk=accepted.turn.pk).update(status=status, ended_at=timezone.now(), usage=usage)


def test_daily_token_limit_holds_until_usage_is_a_day_old(owner: User, outsider: User, settings: Settings) -> None:
    settings.TOKENS_PER_DAY = 1_000
    with time_machine.travel("2026-03-11T10:00Z", tick=False) as clock:
        finish_turn_with_tokens(send(owner, uuid.uuid4()), 600)
        clock.shift(timedelta(hours=2))
        finish_turn_with_tokens(send(owner, uuid.uuid4()), 400)
        clock.shift(timedelta(hours=1))

        with pytest.raises(RateLimited, match="1,000 tokens a day; please go on in 21 hours") as exc_info:
            send(owner, uuid.uuid4())
        assert exc_info.value.retry_after == 21 * 3600 + 1
        send(outsider, uuid.uuid4())
        clock.shift(timedelta(hours=21))
        send(owner, uuid.uuid4())


def test_tokens_that_a_retry_took_over_are_counted_once(owner: User, settings: Settings) -> None:
    settings.TOKENS_PER_DAY = 1_000
    conversation_id = uuid.uuid4()
    failed = send(owner, conversation_id)
    finish_turn_with_tokens(failed, 600, Status.FAILED)
    again = accept_retry(
        user_id=owner.pk, conversation_id=conversation_id, turn_id=failed.turn.pk, client_id=uuid.uuid4()
    )
    finish_turn_with_tokens(again, 700)

    send(owner, conversation_id)


def test_user_of_another_account_gets_not_found(owner: User, outsider: User) -> None:
    conversation_id = uuid.uuid4()
    send(owner, conversation_id)

    with pytest.raises(NotFound):
        send(outsider, conversation_id)

    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", EmptyText),
        (" \n\t ", EmptyText),
        ("\u200b\u2060", EmptyText),
        ("x" * 10_001, TooLong),
        ("nul \x00", BadInput),
        ("half of a pair \ud83d", BadInput),
    ],
)
def test_invalid_message_is_rejected_and_nothing_is_stored(owner: User, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        send(owner, uuid.uuid4(), text)

    assert not Conversation.objects.exists()


def test_message_of_ten_thousand_emoji_is_accepted(owner: User) -> None:
    send(owner, uuid.uuid4(), "🧵" * 10_000)

    assert len(Message.objects.get().text) == 10_000


def test_rate_limit_per_minute_returns_retry_after(owner: User, outsider: User, settings: Settings) -> None:
    settings.MESSAGES_PER_MINUTE = 3
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        for _ in range(3):
            send(owner, uuid.uuid4())
        clock.shift(20)
        with pytest.raises(RateLimited) as exc_info:
            send(owner, uuid.uuid4())
        assert exc_info.value.retry_after == 41
        send(outsider, uuid.uuid4())
        clock.shift(exc_info.value.retry_after)
        send(owner, uuid.uuid4())


@pytest.mark.django_db(transaction=True)
def test_rate_limit_holds_across_concurrent_conversations(owner: User, settings: Settings) -> None:
    settings.MESSAGES_PER_MINUTE = 3

    def try_to_send() -> bool:
        try:
            return send(owner, uuid.uuid4()).is_new
        except RateLimited:
            return False

    assert sum(run_concurrently([try_to_send] * 8)) == 3
    assert Message.objects.count() == 3


def test_message_beyond_the_queue_limit_is_rejected(owner: User, settings: Settings) -> None:
    settings.QUEUE_PER_CONVERSATION = 2
    conversation_id = uuid.uuid4()
    for _ in range(3):
        send(owner, conversation_id)

    with pytest.raises(RateLimited):
        send(owner, conversation_id)

    assert Message.objects.count() == 3


def test_only_the_first_queued_turn_is_claimed(owner: User) -> None:
    conversation_id = uuid.uuid4()
    first, second = send(owner, conversation_id).turn, send(owner, conversation_id).turn
    send(owner, conversation_id)
    assert claim(conversation_id, owner=RUNNER) is None, "claimed while another turn runs"

    first.status, first.ended_at = Status.DONE, timezone.now() + timedelta(seconds=1)
    first.save()
    claimed = claim(conversation_id, owner=RUNNER)

    assert claimed is not None
    assert claimed.pk == second.pk
    assert claim(conversation_id, owner=RUNNER) is None


@pytest.mark.django_db(transaction=True)
def test_concurrent_claims_give_the_turn_to_one_runner(owner: User) -> None:
    conversation_id = uuid.uuid4()
    accept(user_id=owner.pk, conversation_id=conversation_id, client_id=uuid.uuid4(), text="hi")

    claimed = run_concurrently([lambda: claim_waiting(owner=uuid.uuid4(), limit=5)] * 8)

    assert sum(len(turns) for turns in claimed) == 1


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Buy milk", "Buy milk"),
        ("  first line  \nsecond", "first line"),
        ("word " * 40, ("word " * 19).strip() + "…"),
        ("x" * 150, "x" * 99 + "…"),
        ("\u200b\n\x1b\u202eBuy \x1b milk", "Buy milk"),
    ],
)
def test_title_is_made_from_the_first_line(text: str, title: str) -> None:
    assert title_from(text) == title
