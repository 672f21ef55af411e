"""Collect the notifications of a socket, so that several of them cost one query."""

import asyncio
import uuid
from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """The conversations that changed, and whether there are new turns, changed tasks and changed tool calls."""

    conversations: set[uuid.UUID] = field(default_factory=set)
    turns: bool = False
    tasks: bool = False
    calls: bool = False


class PendingNotifications:
    """The notifications that a socket has received and not handled yet."""

    def __init__(self) -> None:
        self._changes = Changes()
        self._received = asyncio.Event()

    def add_conversation(self, conversation_id: str) -> None:
        """Note that a conversation changed."""
        self._changes.conversations.add(uuid.UUID(conversation_id))
        self._received.set()

    def add_turns(self) -> None:
        """Note that there is a turn that is not followed yet."""
        self._changes.turns = True

    def add_tasks(self) -> None:
        """Note that the task list changed."""
        self._changes.tasks = True
        self._received.set()

    def add_calls(self) -> None:
        """Note that calls of the conversation changed tasks, or were undone."""
        self._changes.calls = True
        self._received.set()

    async def take(self) -> Changes:
        """Wait for notifications; return and clear what they report."""
        await self._received.wait()
        self._received.clear()
        changes, self._changes = self._changes, Changes()
        return changes
