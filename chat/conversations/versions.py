"""Earlier versions of a conversation: which turns took the place of which."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence

from chat.models import Turn


class VersionTree:
    """Which turns of a conversation took the place of which."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        """Take all turns of a conversation, in order."""
        self._seq = {turn.pk: turn.seq for turn in turns}
        self._later = {turn.pk: turn.superseded_by_id for turn in turns}
        self._first: dict[uuid.UUID, uuid.UUID] = {}
        self._versions: defaultdict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
        for turn in turns:
            first = self._first[turn.pk] = self._first[turn.replaces_id] if turn.replaces_id else turn.pk
            self._versions[first].append(turn.pk)

    def has(self, turn_id: uuid.UUID) -> bool:
        """Return whether it is a turn of the conversation."""
        return turn_id in self._later

    def seq(self, turn_id: uuid.UUID) -> int:
        """Return a turn's place in the conversation's queue."""
        return self._seq[turn_id]

    def is_current(self, turn_id: uuid.UUID) -> bool:
        """Return whether a turn belongs to the current version of the conversation."""
        return self._later[turn_id] is None

    def shown(self, version: uuid.UUID | None) -> frozenset[uuid.UUID]:
        """Return the turns of the conversation as it was in a version."""
        later = self._later[version] if version else None
        if later is None:
            return frozenset(pk for pk, by in self._later.items() if by is None)
        until = self._seq[later]
        return frozenset(
            pk for pk, by in self._later.items() if self._seq[pk] < until and (by is None or self._seq[by] >= until)
        )

    def versions(self, turn_id: uuid.UUID) -> tuple[uuid.UUID, ...]:
        """Return the turns that have had a turn's place, the oldest first."""
        return tuple(self._versions[self._first[turn_id]])

    def successors(self, shown: Collection[uuid.UUID]) -> dict[uuid.UUID, uuid.UUID]:
        """Return for each turn of the past which of those that are shown took its place in the end."""
        successors = {}
        for turn_id in self._later.keys() - frozenset(shown):
            successor = self._later[turn_id]
            while successor is not None and successor not in shown:
                successor = self._later[successor]
            if successor is not None:
                successors[turn_id] = successor
        return successors
