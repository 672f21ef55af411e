"""Find conversations by their messages and titles.

The newest conversations are scanned first, which finds frequent words immediately; the index finds rare ones. A
frequent word is slow to find with the index, which must list all matches before it knows the newest, and a rare one
with a scan. With a million messages and a page of 50 both take the same time for a word in about one of a hundred
messages.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from django.db import OperationalError
from psycopg.errors import QueryCanceled

from chat.exceptions import TimedOut
from chat.infra.database_limits import statement_timeout
from chat.infra.limits import ConcurrencyLimit
from chat.infra.markdown import plain_text
from chat.models.conversation import Role
from chat.models.sql import select
from chat.search.query import Query, Term, parse
from chat.search.snippets import MAX_READ, Mark, marks, pieces, snippet

SECONDS = 2.0
SEARCHES_AT_ONCE = 2  # of a user
SCANNED_CONVERSATIONS, SCANNED_MESSAGES = 100, 5_000  # in the first scan; then four times as many, repeatedly
COMMON_RATIO = 0.01  # matches per scanned message

TOO_SLOW = "This search takes too long; please search for more or rarer words."

Place = tuple[datetime, uuid.UUID]

_searches = ConcurrencyLimit(
    SEARCHES_AT_ONCE, f"You can run {SEARCHES_AT_ONCE} searches at once; please wait until one has finished."
)

_AFTER = "(%(time)s::timestamptz IS NULL OR (c.updated_at, c.id) < (%(time)s, %(key)s))"
_NEWEST = f"""
SELECT updated_at, id, messages, count FROM (
    SELECT updated_at, id, messages, count(*) OVER (),
        sum(messages) OVER (ORDER BY updated_at DESC, id DESC ROWS UNBOUNDED PRECEDING) - messages AS before
    FROM (
        SELECT c.updated_at, c.id, c.last_position AS messages FROM chat_conversation c
        WHERE c.user_id = %(user)s AND c.trashed_at IS NULL AND {_AFTER}
        ORDER BY c.updated_at DESC, c.id DESC LIMIT %(most)s
    ) newest
) newest
WHERE before < %(room)s ORDER BY updated_at DESC, id DESC
"""  # noqa: S608 - our own words
_SHOWN = f"""
c.id, c.title, c.updated_at, c.archived_at IS NOT NULL,
    found.id, found.role, found.created_at, left(found.text, {MAX_READ}), found.position
"""
_SCAN = f"""
SELECT {_SHOWN}
FROM unnest(%(ids)s::uuid[], %(rooms)s::int[]) WITH ORDINALITY newest (id, room, place)
JOIN chat_conversation c ON c.id = newest.id
LEFT JOIN chat_titlevector t ON t.conversation_id = newest.id
LEFT JOIN LATERAL (
    SELECT m.id, m.role, m.created_at, m.text, m.position FROM (
        SELECT v.message_id, v.created_at, v.vector FROM chat_messagevector v WHERE v.conversation_id = newest.id
        ORDER BY v.created_at DESC LIMIT newest.room
    ) v JOIN chat_message m ON m.id = v.message_id
    WHERE v.vector @@ %(query)s::tsquery AND m.position IS NOT NULL
    ORDER BY v.created_at DESC, m.position DESC LIMIT 1
) found ON true
WHERE found.id IS NOT NULL OR t.vector @@ %(title)s::tsquery
ORDER BY newest.place LIMIT %(limit)s
"""  # noqa: S608
_FIND = f"""
SELECT {_SHOWN}
FROM (
    SELECT c.*, indexed.newest FROM (
        SELECT either.id, max(either.created_at) AS newest FROM (
            SELECT v.conversation_id AS id, v.created_at FROM chat_messagevector v WHERE v.vector @@ %(query)s::tsquery
            UNION ALL
            SELECT t.conversation_id, NULL FROM chat_titlevector t WHERE t.vector @@ %(title)s::tsquery
        ) either GROUP BY either.id
    ) indexed JOIN chat_conversation c ON c.id = indexed.id
    WHERE c.user_id = %(user)s AND c.trashed_at IS NULL AND {_AFTER}
    ORDER BY c.updated_at DESC, c.id DESC LIMIT %(limit)s
) c
LEFT JOIN LATERAL (
    SELECT m.id, m.role, m.created_at, m.text, m.position FROM (
        SELECT v.message_id, v.vector FROM chat_messagevector v
        WHERE v.conversation_id = c.id AND v.created_at = c.newest OFFSET 0
    ) v JOIN chat_message m ON m.id = v.message_id
    WHERE v.vector @@ %(query)s::tsquery AND m.position IS NOT NULL ORDER BY m.position DESC LIMIT 1
) found ON true
ORDER BY c.updated_at DESC, c.id DESC
"""  # noqa: S608
# An index finds one user's rows, regardless of the planner's estimates; JIT compiling takes longer than the query.
_PLAN = """
SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
    set_config('max_parallel_workers_per_gather', '0', true), set_config('work_mem', '16MB', true)
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """A found conversation, with its newest matching message.

    Message, role, time and snippet are None if only the title matches. Marks are offsets of the matches.
    """

    id: uuid.UUID
    title: str
    updated_at: datetime
    archived: bool
    message_id: uuid.UUID | None
    role: str | None
    said_at: datetime | None
    snippet: str | None
    title_marks: tuple[Mark, ...]
    snippet_marks: tuple[Mark, ...]

    @property
    def title_pieces(self) -> list[tuple[str, bool]]:
        """The title in pieces, each with whether it matches."""
        return pieces(self.title, self.title_marks)

    @property
    def snippet_pieces(self) -> list[tuple[str, bool]]:
        """The snippet in pieces, each with whether it matches."""
        return pieces(self.snippet or "", self.snippet_marks)


def search(*, user_id: uuid.UUID, words: str, limit: int, after: Place | None = None) -> list[Hit]:
    """Find a user's conversations, except those in the trash, the newest first; one more than the limit.

    Raise TooLong or BadInput for an invalid query, RateLimited above SEARCHES_AT_ONCE, and TimedOut.
    """
    query = parse(words)
    if not query.alternatives:
        return []
    with _searches.hold(str(user_id)), time_limit():
        return [_hit(row, query) for row in _Search(user_id, query, limit + 1).run(after)]


class _Found(NamedTuple):
    """A row of a hit."""

    id: uuid.UUID
    title: str
    updated_at: datetime
    archived: bool
    message_id: uuid.UUID | None
    role: str | None
    said_at: datetime | None
    text: str | None
    position: int | None


class _Candidate(NamedTuple):
    """A conversation to scan: its newest messages up to `room`, or all if that is None."""

    updated_at: datetime
    id: uuid.UUID
    messages: int
    room: int | None

    def scanned(self, hit: _Found | None) -> int:
        """Return how many messages were scanned, given what was found."""
        if hit is not None and hit.position is not None:
            return self.messages - hit.position + 1
        return self.messages if self.room is None else self.room


@dataclass(slots=True)
class _Search:
    """A running search."""

    user_id: uuid.UUID
    query: Query
    limit: int
    found: list[_Found] = field(default_factory=list)

    def run(self, after: Place | None) -> list[_Found]:
        """Find up to `limit` conversations. Raise TimedOut."""
        deadline = time.monotonic() + SECONDS
        select(_PLAN, {})
        size, goes_on = 1, True
        while goes_on and len(self.found) < self.limit:
            chunk, goes_on = self._next_chunk(after, size)
            hits = self._scan(chunk)
            for one in chunk:
                if one.room is None or one.id in hits:
                    after = one.updated_at, one.id
                else:
                    goes_on = True
            if goes_on and self.query.has_index_conditions and not _scan_is_faster(chunk, hits):
                self._add(_FIND, **_after(after))
                break
            if time.monotonic() > deadline:
                raise TimedOut(TOO_SLOW)
            size *= 4
        return self.found

    def _next_chunk(self, after: Place | None, size: int) -> tuple[list[_Candidate], bool]:
        """Return the next conversations to scan, and whether there are more."""
        most, left = size * SCANNED_CONVERSATIONS, size * SCANNED_MESSAGES
        newest = select(_NEWEST, {"user": self.user_id, "most": most, "room": left, **_after(after)})
        chosen: list[_Candidate] = []
        for updated_at, key, messages, _ in newest:
            is_cut = messages > left and self.query.has_index_conditions
            chosen.append(_Candidate(updated_at, key, messages, left if is_cut else None))
            left -= messages
        considered = newest[0][-1] if newest else 0
        return chosen, considered == most or considered > len(chosen)

    def _scan(self, chunk: list[_Candidate]) -> dict[uuid.UUID, _Found]:
        hits = self._add(_SCAN, ids=[one.id for one in chunk], rooms=[one.room for one in chunk])
        return {hit.id: hit for hit in hits}

    def _add(self, statement: str, **values: object) -> list[_Found]:
        own = {
            "user": self.user_id,
            "query": self.query.as_tsquery(self.user_id),
            "title": self.query.for_titles().as_tsquery(self.user_id),
            "limit": self.limit - len(self.found),
        }
        rows = [_Found(*row) for row in select(statement, own | values)]
        self.found += rows
        return rows


def _scan_is_faster(chunk: list[_Candidate], hits: dict[uuid.UUID, _Found]) -> bool:
    """Return whether further scanning is faster than the index."""
    return len(hits) >= COMMON_RATIO * sum(one.scanned(hits.get(one.id)) for one in chunk)


def _after(place: Place | None) -> dict[str, object]:
    updated_at, key = place or (None, None)
    return {"time": updated_at, "key": key}


@contextmanager
def time_limit() -> Iterator[None]:
    """Limit each statement of a block to SECONDS. Raise TimedOut."""
    try:
        with statement_timeout(SECONDS):
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise TimedOut(TOO_SLOW) from error
        raise


def _hit(row: _Found, query: Query) -> Hit:
    shown = _snippet(row, query.wanted)
    return Hit(*row[:-2], shown, marks(row.title, query.wanted), marks(shown or "", query.wanted))


def _snippet(row: _Found, terms: tuple[Term, ...]) -> str | None:
    """Return the excerpt of a message; of a reply, its text without Markdown, unless only the Markdown matches."""
    if row.text is None:
        return None
    written = snippet(row.text, terms)
    if row.role != Role.ASSISTANT:
        return written
    read = snippet(plain_text(row.text), terms)
    return written if marks(written, terms) and not marks(read, terms) else read
