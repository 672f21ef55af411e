"""Leases depend on the database's clock only: the clock of a host may be wrong."""

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import ToolCall, Turn, User
from chat.models.turn import Decision, Status
from chat.tests import stored_turns
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
    """A host's clock that is wrong."""
    return time_machine.travel(timezone.now() + CLOCKS[request.param])


def accept_turn(user: User) -> None:
    accept(user_id=user.pk, conversation_id=uuid.uuid4(), client_id=uuid.uuid4(), text="hi", runner=HERE)


def claim_turn(user: User) -> None:
    conversation = stored_turns.conversation(user)
    stored_turns.add_turn(conversation, "hi", None, status=Status.QUEUED)
    assert claim(conversation.pk, owner=HERE)


def decide_call(user: User) -> None:
    conversation = stored_turns.conversation(user)
    turn = stored_turns.add_turn(conversation, "hi", None, status=Status.WAITING)
    ToolCall.objects.create(turn=turn, call_id="c", name="delete_tasks", arguments={}, decision=Decision.AWAITING)
    of_turn = {"user_id": user.pk, "conversation_id": conversation.pk, "turn_id": turn.pk}
    decide(**of_turn, call_id="c", approve=True, runner=HERE)


def renew_turn(user: User) -> None:
    turn = running_turn(user, HERE)
    assert renew(HERE, [turn.pk]) == []


def take_over_turn(user: User) -> None:
    running_turn(user, THERE)
    Turn.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert len(take_over(HERE, running=(), limit=9)) == 1


def running_turn(user: User, owner: uuid.UUID) -> Turn:
    turn = stored_turns.add_turn(stored_turns.conversation(user), "hi", None, status=Status.RUNNING)
    Turn.objects.update(owner=owner)
    return turn


LEASE_STARTS = (accept_turn, claim_turn, decide_call, renew_turn, take_over_turn)


@pytest.mark.parametrize("start_lease", LEASE_STARTS)
def test_lease_duration_does_not_depend_on_the_host_clock(
    owner: User, wrong_clock: time_machine.travel, start_lease: Callable[[User], object]
) -> None:
    with wrong_clock:
        start_lease(owner)

    assert Turn.objects.get().owner == HERE
    fresh = Now() + (LEASE_TIME - RENEWAL)
    assert Turn.objects.filter(lease_until__gt=fresh, lease_until__lte=Now() + LEASE_TIME).exists()


def test_no_process_takes_over_a_turn_that_is_being_run(owner: User, wrong_clock: time_machine.travel) -> None:
    accept_turn(owner)
    with wrong_clock:
        assert take_over(THERE, running=(), limit=9) == []
        assert count_abandoned() == 0
        assert [objective.is_met for objective in measure(30).objectives if objective.name == "lost_messages"] == [True]


def test_released_turn_can_be_taken_over_at_once(owner: User, wrong_clock: time_machine.travel) -> None:
    accept_turn(owner)
    with wrong_clock:
        release(lease_of(Turn.objects.get()))
    assert [turn.owner for turn in take_over(THERE, running=(), limit=9)] == [THERE]
