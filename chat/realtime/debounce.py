"""Collect the notifications of a socket, so that several of them cost one query."""

import asyncio
import uuid


class PendingNotifications:
    """The notifications that a socket has received and not handled yet."""

    def __init__(self) -> None:
        self._conversations: set[uuid.UUID] = set()
        self._turns = self._tasks = self._calls = False
        self._there = asyncio.Event()

    def add_conversation(self, conversation_id: str) -> None:
        """Note that a conversation changed."""
        self._conversations.add(uuid.UUID(conversation_id))
        self._there.set()

    def add_turns(self) -> None:
        """Note that there is a turn that is not followed yet."""
        self._turns = True

    def add_tasks(self) -> None:
        """Note that the task list changed."""
        self._tasks = True
        self._there.set()

    def add_calls(self) -> None:
        """Note that calls of the conversation changed tasks, or were undone."""
        self._calls = True
        self._there.set()

    async def take(self) -> tuple[set[uuid.UUID], bool, bool, bool]:
        """Wait for news; return the conversations that changed, and whether turns, tasks and calls did; begin anew."""
        await self._there.wait()
        self._there.clear()
        taken = self._conversations, self._turns, self._tasks, self._calls
        self._conversations, self._turns, self._tasks, self._calls = set(), False, False, False
        return taken
