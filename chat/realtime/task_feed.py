"""The changes of a user's to-do list, read and encoded once for all of the user's sockets in this process."""

import asyncio
import uuid
from collections import deque
from dataclasses import dataclass

from chat.infra.db_threads import in_database
from chat.realtime.server_frames import encode, tasks_frame
from chat.tasks.panel import TaskChanges, current_revision, read_changes, task_ids

# Sent to a socket that lags behind; one that lags further loads the list again.
FRAMES_KEPT = 50


@dataclass(frozen=True, slots=True)
class _Frame:
    since: int
    revision: int
    text: str


class TaskFeed:
    """One user's list as the sockets know it."""

    def __init__(self, user_id: uuid.UUID) -> None:
        self._user_id = user_id
        self._lock = asyncio.Lock()
        self._requested = self._covered = 0
        self._revision: int | None = None
        self._known: set[uuid.UUID] = set()
        self._frames: deque[_Frame] = deque(maxlen=FRAMES_KEPT)
        self.sockets = 0

    async def start(self) -> int:
        """Load the list once; return the revision from which there are frames."""
        async with self._lock:
            if self._revision is None:
                revision, self._known = await in_database(_begin, self._user_id)
                self._revision = revision
            return self._revision

    async def frames_after(self, revision: int) -> tuple[list[str], int]:
        """Return the frames with all that was committed before the call and is newer than a revision, and the newest.

        Concurrent calls share one query.
        """
        self._requested += 1
        ticket = self._requested
        async with self._lock:
            if self._covered < ticket:
                covers = self._requested
                await self._read()
                self._covered = covers
            assert self._revision is not None  # `start` comes first
            texts = [frame.text for frame in self._frames if frame.revision > revision]
            return texts, self._revision

    async def _read(self) -> None:
        assert self._revision is not None
        changes, text = await in_database(_changes, self._user_id, self._revision, self._known)
        # Here and not in the thread: a reader that is cancelled leaves all of it to the next one.
        if changes.revision > self._revision:
            self._known.update(task.id for task in changes.changed)
            self._known.difference_update(changes.removed)
            self._frames.append(_Frame(changes.since, changes.revision, text))
            self._revision = changes.revision


def _begin(user_id: uuid.UUID) -> tuple[int, set[uuid.UUID]]:
    # The revision first: a task that is added in between is found again as a change.
    return current_revision(user_id), task_ids(user_id)


def _changes(user_id: uuid.UUID, since: int, known: set[uuid.UUID]) -> tuple[TaskChanges, str]:
    changes = read_changes(user_id, since=since, known=known)
    return changes, encode(tasks_frame(changes))


class TaskFeeds:
    """The feeds of connected users."""

    def __init__(self) -> None:
        self._feeds: dict[uuid.UUID, TaskFeed] = {}

    def join(self, user_id: uuid.UUID) -> TaskFeed:
        """Return a user's feed, which stays until the last socket leaves it."""
        feed = self._feeds.setdefault(user_id, TaskFeed(user_id))
        feed.sockets += 1
        return feed

    def leave(self, user_id: uuid.UUID) -> None:
        """Leave a feed."""
        feed = self._feeds[user_id]
        feed.sockets -= 1
        if not feed.sockets:
            del self._feeds[user_id]


feeds = TaskFeeds()
