"""Requests of 0.5.0 clients still work, and responses have all fields that they had (chat/tests/recorded)."""

import pytest

from chat.tests.recorded import Client, breaking_changes, load
from config.tests.support import PASSWORD, ServerProcess

pytestmark = pytest.mark.service
# The other events of a stream depend on when the client reads.
ALWAYS = frozenset(
    {"", "message_start", "message_end", "approval_requested", "thread.created", "thread.item.done/assistant_message"}
    | {"ready", "pong", "message.accepted", "turn.finished", "approval.requested", "error"}
)


async def test_recorded_session_of_each_entry_point_can_be_replayed(shared_server: ServerProcess) -> None:
    email = "recorded@example.com"
    shared_server.database.add_user(email, staff=True)
    recorded = load("0.5.0")
    played = await Client(shared_server.url).use_everything(email, PASSWORD)

    assert [(new.sent, new.status) for new in played] == [(old.sent, old.status) for old in recorded]
    absent = []
    for old, new in zip(recorded, played, strict=True):
        absent += [f"{old.sent}: no {kind}" for kind in (old.shapes.keys() & ALWAYS) - new.shapes.keys()]
        for kind in old.shapes.keys() & new.shapes.keys():
            absent += [f"{old.sent}: {kind}{path}" for path in breaking_changes(old.shapes[kind], new.shapes[kind])]
    assert absent == []
