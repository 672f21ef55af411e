"""The time limit of statements, and which database errors are transient."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import Error, connection, transaction

# SQLSTATE classes of errors that are not caused by the statement: a lost connection, a rollback by the server, missing
# resources, and intervention by an operator or a time limit.
TRANSIENT_CLASSES = frozenset({"08", "40", "53", "57"})
LOCK_NOT_AVAILABLE, IDLE_IN_TRANSACTION = "55P03", "25P03"


@contextmanager
def statement_timeout(seconds: float) -> Iterator[None]:
    """Run a block in a transaction with a time limit for each statement.

    Overrides the connection's own limit, and also works behind a transaction pooler. A statement that takes longer
    raises django.db.OperationalError, for which `is_transient` is true.
    """
    limit = f"{max(1, round(seconds * 1000))}ms"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)", [limit]
        )
        before = cursor.fetchone()[0]
        yield
        # Otherwise it would apply until the end of an outer transaction.
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


@contextmanager
def long_statements(seconds: float = 60) -> Iterator[None]:
    """Let statements of this thread take that long if the connection has a limit; also a decorator.

    Unlike `statement_timeout` it begins no transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        before = cursor.fetchone()[0]
    if before == "0":
        yield
        return
    _set_timeout(f"{round(seconds * 1000)}ms")
    try:
        yield
    finally:
        try:
            _set_timeout(before)
        except Error:
            # The connection must not be reused with this limit.
            if connection.connection is not None:
                connection.connection.close()


def _set_timeout(value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [value])


def is_transient(error: BaseException | None) -> bool:
    """Return whether a database error is transient: a lost connection, a timeout, a deadlock, a full server."""
    while error is not None and not isinstance(error, psycopg.Error):
        error = error.__cause__
    if error is None:
        return False
    if error.sqlstate is None:
        # psycopg's own: the connection is lost, or the pool has none.
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in TRANSIENT_CLASSES or error.sqlstate in (LOCK_NOT_AVAILABLE, IDLE_IN_TRANSACTION)


def summary(error: BaseException | None) -> str:
    """Return the first line of a database error, which repeats no data and no search terms."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
