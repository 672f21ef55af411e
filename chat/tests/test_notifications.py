"""Every function that changes tasks or conversations notifies the user's sockets."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import transaction
from django.test import AsyncClient

from chat import tasks
from chat.conversations import services as conversations
from chat.infra.db_threads import in_database
from chat.infra.notifications import user_group
from chat.models import User
from chat.tasks import undo
from config.tests.support import PASSWORD
from sessions_admin.people.accounts import end_access

Verb = Callable[..., Any]


@pytest.fixture
async def next_notice(transactional_db: None, owner: User) -> Callable[[], Any]:
    """Receive the type of the next notification to the owner's sockets."""
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(user_group(owner.pk), channel)

    async def receive() -> str:
        async with asyncio.timeout(5):
            notice = await layer.receive(channel)
        return str(notice["type"])

    return receive


def add(user_id: uuid.UUID) -> int:
    return tasks.create_task(user_id=user_id, title="Buy milk").number


TASK_VERBS: dict[str, Verb] = {
    "complete": lambda user_id, number: tasks.complete_task(user_id=user_id, number=number),
    "update": lambda user_id, number: tasks.update_task(
        user_id=user_id, number=number, changes=tasks.Changes(title="Buy tea")
    ),
    "delete": lambda user_id, number: tasks.delete_task(user_id=user_id, number=number),
    "delete several": lambda user_id, number: tasks.delete_tasks(user_id=user_id, numbers=[number]),
    "undo": lambda user_id, number: undo.undo(
        user_id=user_id, change_id=tasks.complete_task(user_id=user_id, number=number).change_id or uuid.uuid4()
    ),
}


@pytest.mark.parametrize("verb", TASK_VERBS.values(), ids=TASK_VERBS)
async def test_task_change_notifies(owner: User, next_notice: Any, verb: Verb) -> None:
    number = await in_database(add, owner.pk)
    assert await next_notice() == "tasks.changed"
    await in_database(verb, owner.pk, number)
    assert await next_notice() == "tasks.changed"


def rename(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> object:
    return conversations.rename(user_id=user_id, conversation_id=conversation_id, title="Errands")


def purge(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> object:
    conversations.trash(user_id=user_id, conversation_id=conversation_id)
    return conversations.purge(user_id=user_id, conversation_id=conversation_id)


def empty_trash(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> object:
    conversations.trash(user_id=user_id, conversation_id=conversation_id)
    return conversations.empty_trash(user_id=user_id)


CONVERSATION_VERBS: list[Verb] = [
    rename, conversations.change, conversations.pin, conversations.unpin, conversations.archive,
    conversations.unarchive, conversations.keep, conversations.trash, conversations.restore, purge, empty_trash,
]  # fmt: skip


@pytest.mark.parametrize("verb", CONVERSATION_VERBS)
async def test_conversation_change_notifies(owner: User, next_notice: Any, verb: Verb) -> None:
    summary = await in_database(conversations.begin, user_id=owner.pk)
    assert await next_notice() == "conversation.updated"
    await in_database(verb, user_id=owner.pk, conversation_id=summary.id)
    assert await next_notice() == "conversation.updated"


async def test_closing_an_account_signs_out(owner: User, next_notice: Any) -> None:
    await in_database(end_access, owner.pk)
    assert await next_notice() == "signed.out"


async def test_password_change_signs_out(async_owner_client: AsyncClient, next_notice: Any) -> None:
    chosen = "a longer battery staple"
    form = {"old_password": PASSWORD, "new_password1": chosen, "new_password2": chosen}
    assert (await async_owner_client.post("/accounts/password/", form)).status_code == 302
    assert await next_notice() == "signed.out"


async def test_rolled_back_change_does_not_notify(owner: User, next_notice: Any) -> None:
    def fail() -> None:
        with transaction.atomic():
            add(owner.pk)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_database(fail)
    await in_database(conversations.begin, user_id=owner.pk)
    assert await next_notice() == "conversation.updated"


async def test_update_without_a_change_does_not_notify(owner: User, next_notice: Any) -> None:
    number = await in_database(add, owner.pk)
    assert await next_notice() == "tasks.changed"
    same = tasks.Changes(title="Buy milk")
    await in_database(tasks.update_task, user_id=owner.pk, number=number, changes=same)
    await in_database(conversations.begin, user_id=owner.pk)
    assert await next_notice() == "conversation.updated"
