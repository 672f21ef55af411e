"""Connections of the server process, which the database itself limits: no request may occupy it for long."""

import logging
from functools import cache
from typing import Any, Self

import psycopg

logger = logging.getLogger(__name__)

# For pages, the API, sockets and turns. Longer statements use chat.infra.database_limits.statement_timeout.
# Other processes (the worker, commands, migrations, backup and restore) have no limit.
LIMITS = {
    "statement_timeout": "5s",
    # Shorter, so that the log names the cause.
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "10s",
}
# Of every process: a server that has vanished is noticed, which TCP alone does after hours.
TCP = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
SECONDS_TO_ANSWER = 3
POOLER = (
    "The database is reached through a connection pooler, which gives each transaction another connection: "
    "limit the time of statements there (query_timeout of PgBouncer)."
)


class LimitedConnection(psycopg.Connection[Any]):
    """A connection with the limits of the server process.

    They are no startup parameters, which a pooler refuses. Behind a pooler that gives each transaction another
    connection they would be set for its other clients, so they are set only where the connection is the server's own.
    """

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:
        """Connect, and set the limits."""
        connection = super().connect(*args, **kwargs)
        try:
            connection._limit()
        except BaseException:
            connection.close()
            raise
        return connection

    def _limit(self) -> None:
        settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in LIMITS.items())
        # A pooler makes up process ids of its own.
        is_own = f"SELECT {settings} WHERE pg_backend_pid() = %s"
        if not self.execute(is_own, [self.info.backend_pid]).fetchone():
            _log_pooler()
        if not self.autocommit:
            self.commit()


@cache
def _log_pooler() -> None:
    logger.warning(POOLER)


class PoolGauge:
    """How many wait for a connection of this process's pool, and how many were served."""

    name = "a database connection"

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self.stats().get("requests_waiting", 0)

    @property
    def finished(self) -> int:
        """The number of connections handed out."""
        stats = self.stats()
        return stats.get("requests_num", 0) - stats.get("requests_errors", 0) - stats.get("requests_waiting", 0)

    def stats(self) -> dict[str, int]:
        """Return the pool's own figures."""
        from django.db import connection

        return dict(connection.pool.get_stats())  # type: ignore[attr-defined]


def database_answers() -> bool:
    """Return whether a new connection, which is none of the pool, can be made within a few seconds."""
    from django.db import connection

    parameters = connection.get_connection_params() | {"connect_timeout": SECONDS_TO_ANSWER}
    try:
        psycopg.connect(**parameters).close()
    except psycopg.Error:
        return False
    return True
