"""Connections of the server process, with limits that the database enforces: no request may occupy it for long."""

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import psycopg

logger = logging.getLogger(__name__)

# For pages, the API, sockets and turns. Longer statements use chat.infra.database_limits.statement_timeout. Other
# processes (the worker, commands, migrations, backup and restore) have no limit.
LIMITS = {
    "statement_timeout": "5s",
    # Shorter, so that the log names the cause.
    "lock_timeout": "4s",
    "idle_in_transaction_session_timeout": "10s",
}
# For every process: detect a server that has vanished, which TCP alone does only after hours.
TCP = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
RESPONSE_TIMEOUT = 3
POOLER_WARNING = (
    "The database connection is pooled, and each transaction may get another one: "
    "limit the time of statements there (query_timeout of PgBouncer)."
)


def connection_settings(parameters: Mapping[str, Any], pool_size: int = 0) -> dict[str, Any]:
    """Return an entry of DATABASES for the parameters of a PostgreSQL URL, with a pool if it has a size."""
    options: dict[str, Any] = TCP | {
        key: value for key, value in parameters.items() if key not in ("host", "port", "user", "password", "dbname")
    }
    if pool_size:
        options["pool"] = {
            "min_size": 2,
            "max_size": pool_size,
            "timeout": 5,
            "connection_class": LimitedConnection,
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parameters.get("dbname") or "postgres",
        "USER": parameters.get("user") or "",
        "PASSWORD": parameters.get("password") or "",
        "HOST": parameters.get("host") or "",
        "PORT": parameters.get("port") or "",
        "OPTIONS": options,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }


class LimitedConnection(psycopg.Connection[Any]):
    """A connection with the limits of the server process.

    They are not startup parameters, since poolers refuse those. Behind a pooler that assigns connections per
    transaction they would apply to its other clients, so they are set only on a direct connection.
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
        # A pooler invents process ids.
        is_own = f"SELECT {settings} WHERE pg_backend_pid() = %s"
        if not self.execute(is_own, [self.info.backend_pid]).fetchone():
            _log_pooler()
        if not self.autocommit:
            self.commit()


@cache
def _log_pooler() -> None:
    logger.warning(POOLER_WARNING)


class PoolGauge:
    """How many threads wait for a connection of this process's pool, and how many got one."""

    name = "a database connection"

    @property
    def waiting(self) -> int:
        """The number of threads that wait now."""
        return self.stats().get("requests_waiting", 0)

    @property
    def finished(self) -> int:
        """The number of connections handed out."""
        stats = self.stats()
        return stats.get("requests_num", 0) - stats.get("requests_errors", 0) - stats.get("requests_waiting", 0)

    def stats(self) -> dict[str, int]:
        """Return the statistics of the pool."""
        from django.db import connection

        return dict(connection.pool.get_stats())  # type: ignore[attr-defined]


def database_responds() -> bool:
    """Return whether a new connection outside the pool succeeds within a few seconds."""
    from django.db import connection

    parameters = connection.get_connection_params() | {"connect_timeout": RESPONSE_TIMEOUT}
    try:
        psycopg.connect(**parameters).close()
    except psycopg.Error:
        return False
    return True
