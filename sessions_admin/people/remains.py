"""Search both stores for whatever identifies a user: every column, not a list of tables.

A table is read a few pages at a time, each by a short query without locks.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django_q.models import OrmQ
from picklefield import PickledObjectField
from psycopg import sql

from chat.exceptions import MemoryUnavailable
from chat.memory.file_search import count_in_files
from chat.memory.sync_store import SyncStore
from sessions_admin.people.terms import Terms
from sessions_admin.stores.leftovers import temporary_files

FIRST_PAGES, MAX_PAGES = 16, 16_384
LAST_PAGE = 2**32 - 1  # the highest page number
MIN_SECONDS, MAX_SECONDS = 0.05, 0.25  # the duration of a query, in seconds
AUDIT = "sessions_admin_auditrecord"
BYTES_SUFFIX = ", bytes"

# Every column of every table that may contain text, including tables of other programs.
_COLUMNS = """
SELECT n.nspname, c.relname, c.relpages, pg_relation_size(c.oid) / current_setting('block_size')::bigint, a.attname,
    CASE WHEN base.typname IN ('bytea', 'uuid') THEN base.typname ELSE 'text' END
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type base ON base.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
LEFT JOIN pg_type element ON element.oid = base.typelem AND base.typcategory = 'A'
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND coalesce(element.typcategory, base.typcategory) IN ('S', 'U', 'C')
ORDER BY 4, 1, 2, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Remains:
    """A column, and the number of rows with an address and with the id; for a file, the number of occurrences."""

    place: str
    addresses: int
    ids: int

    @property
    def is_expected(self) -> bool:
        """Whether it is an id in the audit, which is never changed."""
        return self.place.startswith(f"{AUDIT}.") and not self.addresses

    @property
    def is_of_bytes(self) -> bool:
        """Whether it is a file whose bytes were searched."""
        return self.place.endswith(BYTES_SUFFIX)


@dataclass(slots=True)
class Search:
    """The results so far, and what could not be searched."""

    terms: Terms
    deadline: float | None = None  # by the monotonic clock
    found: list[Remains] = field(default_factory=list)
    unsearched: list[str] = field(default_factory=list)

    @property
    def is_out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def add(self, place: str, addresses: int, ids: int) -> None:
        if addresses or ids:
            self.found.append(Remains(place, addresses, ids))


def search(terms: Terms, file: SyncStore, *, seconds: float | None = None) -> Search:
    """Search both stores, the small tables first; the result names the tables not searched in time."""
    search = Search(terms, None if seconds is None else time.monotonic() + seconds)
    for table in _tables():
        _search_table(search, table)
    _search_file(search, file)
    return search


# PostgreSQL.


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    name: str
    pages: int
    columns: Sequence[tuple[str, str]]  # with their types

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def packed(self) -> list[str]:
        """The columns with values that Django encodes."""
        return [name for name, _ in self.columns if (self.name, name) in _packed_columns()]


def _packed_columns() -> set[tuple[str, str]]:
    """Return the columns whose values PostgreSQL cannot read, by table."""
    fields = [field for model in apps.get_models() for field in model._meta.concrete_fields]
    pickled = {(one.model._meta.db_table, one.column) for one in fields if isinstance(one, PickledObjectField)}
    known = {(OrmQ._meta.db_table, "payload"), (Session._meta.db_table, "session_data")}
    caches = {(str(cache.get("LOCATION")), "value") for cache in settings.CACHES.values()}
    return pickled | known | caches


def _tables() -> list[_Table]:
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        rows = cursor.fetchall()
    tables: dict[tuple[str, str], _Table] = {}
    for schema, name, _, pages, column, kind in rows:
        table = tables.setdefault((schema, name), _Table(schema, name, pages, []))
        table.columns.append((column, kind))  # type: ignore[attr-defined]
    return list(tables.values())


def _search_table(search: Search, table: _Table) -> None:
    counts: dict[str, list[int]] = {name: [0, 0] for name, _ in table.columns}
    try:
        with transaction.atomic():
            for first, last in _page_ranges(table.pages, search):
                _count_pages(search.terms, table, first, last, counts)
    except (DatabaseError, _OutOfTimeError):
        search.unsearched.append(str(table))
    for column, (addresses, ids) in counts.items():
        search.add(f"{table}.{column}", addresses, ids)


class _OutOfTimeError(Exception):
    """The time for the search is over."""


def _page_ranges(pages: int, search: Search) -> Iterator[tuple[int, int]]:
    """Yield ranges of pages, each for one short query. The last has no end: rows may be added."""
    first, size = 0, FIRST_PAGES
    while first <= pages:
        if search.is_out_of_time:
            raise _OutOfTimeError
        begun, last = time.monotonic(), first + size
        yield first, last if last <= pages else LAST_PAGE
        first, took = last, time.monotonic() - begun
        if took < MIN_SECONDS:
            size = min(size * 2, MAX_PAGES)
        elif took > MAX_SECONDS:
            size = max(size // 2, 1)


def _count_pages(terms: Terms, table: _Table, first: int, last: int, counts: dict[str, list[int]]) -> None:
    """Count the matching rows in a range of pages."""
    rows = sql.SQL("FROM ONLY {} WHERE ctid >= {}::tid AND ctid < {}::tid").format(
        sql.Identifier(table.schema, table.name), sql.Literal(f"({first},0)"), sql.Literal(f"({last},0)")
    )
    plain = [(name, kind) for name, kind in table.columns if name not in table.packed]
    with connection.cursor() as cursor:
        if plain:
            tests = [test for name, kind in plain for test in _conditions(terms, sql.Identifier(name), kind)]
            counted = sql.SQL(", ").join(sql.SQL("count(*) FILTER (WHERE {})").format(test) for test in tests)
            cursor.execute(sql.SQL("SELECT {} {}").format(counted, rows))
            figures = cursor.fetchone()
            for index, (name, _) in enumerate(plain):
                counts[name][0] += figures[2 * index]
                counts[name][1] += figures[2 * index + 1]
        for name in table.packed:
            cursor.execute(sql.SQL("SELECT {} {}").format(sql.Identifier(name), rows))
            for (value,) in cursor:
                for index, is_there in enumerate(terms.found_in_packed(value) if value else ()):
                    counts[name][index] += is_there


def _conditions(terms: Terms, column: sql.Identifier, kind: str) -> tuple[sql.Composable, sql.Composable]:
    """Return the conditions that a column contains an address, and that it contains the id."""
    if kind == "uuid":
        return sql.SQL("false"), sql.SQL("{} = {}::uuid").format(column, str(terms.person_id))
    text = sql.SQL("encode({}, 'escape')" if kind == "bytea" else "{}::text").format(column)
    # Compare bytes, which is much faster, unless an address has letters beyond ASCII.
    if all(each.isascii() for each in terms.spellings):
        text = sql.SQL('{} COLLATE "C"').format(text)
    has = sql.SQL("strpos(lower({}), {}) > 0")
    addresses = _any_of(has.format(text, each) for each in terms.spellings)
    ids = _any_of(has.format(text, each) for each in terms.ids)
    return sql.SQL("({}) AND {} ~* {}").format(addresses, text, terms.pattern), ids


def _any_of(tests: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(" OR ").join(tests)


# The session file, quarantined ones, and any other file with a copy.


def search_files(terms: Terms) -> tuple[list[Remains], list[str]]:
    """Search the bytes of files; return what was found, and what could not be searched."""
    search = Search(terms)
    _search_bytes(search)
    return search.found, search.unsearched


def _search_file(search: Search, file: SyncStore) -> None:
    path: Path = settings.AGENT_SESSION_DB_PATH
    try:
        for column, counts in file.count_rows(search.terms.literals).items():
            search.add(f"{path.name}: {column}", *search.terms.counted(counts))
    except MemoryUnavailable:
        search.unsearched.append(path.name)
        return
    _search_bytes(search)


def _search_bytes(search: Search) -> None:
    path: Path = settings.AGENT_SESSION_DB_PATH
    # The -shm file is an index of the log, without content.
    beside = [each for each in sorted(path.parent.glob(f"{path.name}*")) if not each.name.endswith("-shm")]
    named = {each: each.name for each in beside} | {each: str(each) for each in temporary_files()}
    try:
        for each, counts in count_in_files(list(named), search.terms.literals).items():
            search.add(f"{named[each]}{BYTES_SUFFIX}", *search.terms.counted(counts))
    except OSError:
        search.unsearched.append(path.name)
