"""The database's clock decides about leases: the clock of a machine may be wrong."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import ToolCall, Turn, User
from chat.models.turn import Decision, Status
from chat.tests import talk
from chat.turns.accept import accept
from chat.turns.approvals import decide
from chat.turns.lease import LEASE_TIME, RENEWAL, lease_of, release, renew, take_over
from chat.turns.queue import claim
from sessions_admin.metrics.objectives import count_abandoned, measure

pytestmark = pytest.mark.django_db

HERE, THERE = uuid.uuid4(), uuid.uuid4()
CLOCKS = {"ahead": timedelta(hours=2), "behind": -timedelta(hours=2)}


@pytest.fixture(params=CLOCKS)
def wrong_clock(request: pytest.FixtureRequest) -> time_machine.travel:
    """The clock of a machine that is wrong."""
    return time_machine.travel(timezone.now() + CLOCKS[request.param])


def accepted(user: User) -> None:
    accept(user_id=user.pk, conversation_id=uuid.uuid4(), client_id=uuid.uuid4(), text="hi", runner=HERE)


def claimed(user: User) -> None:
    conversation = talk.conversation(user)
    talk.say(conversation, "hi", None, status=Status.QUEUED)
    assert claim(conversation.pk, owner=HERE)


def decided(user: User) -> None:
    conversation = talk.conversation(user)
    turn = talk.say(conversation, "hi", None, status=Status.WAITING)
    ToolCall.objects.create(turn=turn, call_id="c", name="delete_tasks", arguments={}, decision=Decision.AWAITING)
    of_turn = {"user_id": user.pk, "conversation_id": conversation.pk, "turn_id": turn.pk}
    decide(**of_turn, call_id="c", approve=True, runner=HERE)


def renewed(user: User) -> None:
    turn = running(user, HERE)
    assert renew(HERE, [turn.pk]) == []


def taken_over(user: User) -> None:
    running(user, THERE)
    Turn.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert len(take_over(HERE, running=(), limit=9)) == 1


def running(user: User, owner: uuid.UUID) -> Turn:
    turn = talk.say(talk.conversation(user), "hi", None, status=Status.RUNNING)
    Turn.objects.update(owner=owner)
    return turn


BEGINNINGS = (accepted, claimed, decided, renewed, taken_over)


@pytest.mark.parametrize("begin", BEGINNINGS)
def test_a_lease_lasts_equally_long(
    owner: User, wrong_clock: time_machine.travel, begin: Callable[[User], object]
) -> None:
    with wrong_clock:
        begin(owner)

    assert Turn.objects.get().owner == HERE
    just_begun = Now() + (LEASE_TIME - RENEWAL)
    assert Turn.objects.filter(lease_until__gt=just_begun, lease_until__lte=Now() + LEASE_TIME).exists()


def test_no_process_takes_over_a_turn_that_is_being_run(owner: User, wrong_clock: time_machine.travel) -> None:
    accepted(owner)
    with wrong_clock:
        assert take_over(THERE, running=(), limit=9) == []
        assert count_abandoned() == 0
        assert [one.is_met for one in measure(30).objectives if one.name == "lost_messages"] == [True]


def test_a_turn_is_released_at_once(owner: User, wrong_clock: time_machine.travel) -> None:
    accepted(owner)
    with wrong_clock:
        release(lease_of(Turn.objects.get()))
    assert [turn.owner for turn in take_over(THERE, running=(), limit=9)] == [THERE]
