"""The id of a conversation's session: derived from its owner and its own id, never guessed."""

import re
import uuid
from dataclasses import dataclass

from chat.exceptions import InvalidSessionId

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FORM = re.compile(f"user_({_UUID})_conv_({_UUID})")


def printable(stored: str | bytes) -> str:
    """Return an id as text; bytes that are not UTF-8 are escaped."""
    return stored if isinstance(stored, str) else stored.decode(errors="backslashreplace")


@dataclass(frozen=True, slots=True)
class SessionId:
    """The user and the conversation of a session."""

    user_id: uuid.UUID
    conversation_id: uuid.UUID

    def __str__(self) -> str:
        return f"user_{self.user_id}_conv_{self.conversation_id}"

    @classmethod
    def parse(cls, text: str | bytes) -> "SessionId":
        """Parse an id; raise InvalidSessionId if it does not have this form or is not text."""
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise InvalidSessionId(f"“{printable(text)[:120]}” is not a session id.")
        return cls(uuid.UUID(match[1]), uuid.UUID(match[2]))
