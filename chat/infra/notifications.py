"""Small notices to whoever is connected: something changed, look again. They may be lost; nothing hangs on them."""

import uuid
from collections.abc import Collection

from channels.layers import get_channel_layer

ALL_LOGINS = ""


def user_group(user_id: uuid.UUID) -> str:
    """Name the group of a person's sockets."""
    return f"user.{user_id}"


async def tasks_changed(user_id: uuid.UUID, conversation_ids: Collection[uuid.UUID] = ()) -> None:
    """Notify a person's sockets of a changed task list, and of the conversations whose calls made or lost a change."""
    ids = ",".join(str(each) for each in conversation_ids)
    await _send(user_group(user_id), {"type": "tasks.changed"} | ({"conversation_ids": ids} if ids else {}))


async def conversation_updated(user_id: uuid.UUID, conversation_id: uuid.UUID) -> None:
    """Tell a person's sockets that a conversation was made, named, spoken in, put elsewhere or deleted."""
    await _send(user_group(user_id), {"type": "conversation.updated", "id": str(conversation_id)})


async def turn_accepted(user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
    """Tell a person's sockets that there is a new turn to follow."""
    await _send(
        user_group(user_id), {"type": "turn.accepted", "conversation_id": str(conversation_id), "turn_id": str(turn_id)}
    )


async def signed_out(user_id: uuid.UUID, session_key: str = ALL_LOGINS) -> None:
    """Tell the sockets of one login or token (by its id), or of all of a person's, that it is over."""
    await _send(user_group(user_id), {"type": "signed.out", "session_key": session_key})


async def _send(group: str, notice: dict[str, str]) -> None:
    layer = get_channel_layer()
    if layer is not None:
        await layer.group_send(group, notice)
