"""How often a user may send frames that cost queries; checked before any is made."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from chat.infra.throttle import Throttle
from chat.realtime.client_frames import ApprovalDecide, LogFollow, MessageEdit, MessageSend, TurnRetry, TurnStop

# A message may be sent again: a page does so after a reconnect with all that was not acknowledged.
_messages = Throttle(lambda: max(60, 2 * settings.MESSAGES_PER_MINUTE))
# Frames per minute over all sockets of a user in this process. The transport limits how fast other frames are read
# (config/runtime/websocket.py).
LIMITS: Mapping[type[Any], Throttle] = {
    MessageSend: _messages,
    MessageEdit: _messages,
    TurnRetry: _messages,
    TurnStop: Throttle(lambda: 120),
    ApprovalDecide: Throttle(lambda: 120),
    LogFollow: Throttle(lambda: 600),
}


def count(frame: object, user_id: object) -> None:
    """Count a frame of a user. Raise RateLimited."""
    if (limit := LIMITS.get(type(frame))) is not None:
        limit.count(str(user_id))
