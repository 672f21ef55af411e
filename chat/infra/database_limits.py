"""How long a statement may run, and which errors of the database pass by themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import connection, transaction

# SQLSTATE classes of failures that are not the statement's own: the connection, a rollback that the server asks for,
# missing resources, and an operator or a time limit that intervened.
TRANSIENT_CLASSES = frozenset({"08", "40", "53", "57"})
LOCK_NOT_AVAILABLE, IDLE_IN_TRANSACTION = "55P03", "25P03"


@contextmanager
def statement_timeout(seconds: float) -> Iterator[None]:
    """Run a block in a transaction in which each statement may take so long.

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
        # It would otherwise last until the end of a transaction around this one.
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])


def is_transient(error: BaseException | None) -> bool:
    """Return whether a database error can pass by itself: a lost connection, a timeout, a deadlock, a full server."""
    while error is not None and not isinstance(error, psycopg.Error):
        error = error.__cause__
    if error is None:
        return False
    if error.sqlstate is None:
        # psycopg's own: the connection is lost, or the pool has none.
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in TRANSIENT_CLASSES or error.sqlstate in (LOCK_NOT_AVAILABLE, IDLE_IN_TRANSACTION)
