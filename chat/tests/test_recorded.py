"""What clients of 0.5.0 send still works, and what they receive has all that it had (chat/tests/recorded)."""

import pytest

from chat.tests.recorded import Client, load, missing
from config.tests.support import PASSWORD, ServerProcess

pytestmark = pytest.mark.service
# Which events of a stream a client receives besides these depends on when it reads.
ALWAYS = frozenset(
    {"", "message_start", "message_end", "approval_requested", "thread.created", "thread.item.done/assistant_message"}
    | {"ready", "pong", "message.accepted", "turn.finished", "approval.requested", "error"}
)


async def test_a_recorded_session_of_each_entry_point(shared_server: ServerProcess) -> None:
    email = "recorded@example.com"
    shared_server.database.add_user(email, staff=True)
    recorded = load("0.5.0")
    played = await Client(shared_server.url).play(email, PASSWORD)

    assert [(now.sent, now.status) for now in played] == [(was.sent, was.status) for was in recorded]
    gone = []
    for was, now in zip(recorded, played, strict=True):
        gone += [f"{was.sent}: no {kind}" for kind in (was.shapes.keys() & ALWAYS) - now.shapes.keys()]
        for kind in was.shapes.keys() & now.shapes.keys():
            gone += [f"{was.sent}: {kind}{found}" for found in missing(was.shapes[kind], now.shapes[kind])]
    assert gone == []
