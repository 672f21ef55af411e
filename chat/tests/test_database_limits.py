"""A statement is cancelled at its timeout, and the error counts as transient."""

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from chat.infra.database_limits import is_transient, long_statements, statement_timeout
from chat.models import User

SLEEP = "SELECT pg_sleep(5)"


def current_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


def test_statement_timeout_cancels_a_query_and_ends_with_its_block(db: None) -> None:
    before = current_timeout()
    with pytest.raises(OperationalError) as raised, statement_timeout(0.05), connection.cursor() as cursor:
        cursor.execute(SLEEP)
    assert is_transient(raised.value)
    with transaction.atomic(), statement_timeout(2):
        assert current_timeout() == "2s"
        with statement_timeout(1.5):
            assert current_timeout() == "1500ms"
        assert current_timeout() == "2s"
    assert current_timeout() == before


def test_long_statements_raises_the_timeout_of_a_call(db: None) -> None:
    @long_statements(3)
    def timeout_in_a_long_call() -> str:
        return current_timeout()

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '2s'")
    assert timeout_in_a_long_call() == "3s"
    assert current_timeout() == "2s"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
    assert timeout_in_a_long_call() == "0", "without a timeout, none is set"


def test_lost_connection_is_transient_and_statement_errors_are_not(owner: User) -> None:
    with pytest.raises(IntegrityError) as duplicate, transaction.atomic():
        User.objects.create_user(owner.email, "correct horse battery")
    with pytest.raises(DataError) as invalid, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert not is_transient(duplicate.value)
    assert not is_transient(invalid.value)
    assert not is_transient(ValueError())
    with pytest.raises(psycopg.OperationalError) as lost:
        psycopg.connect("host=/nowhere", connect_timeout=2)
    assert is_transient(lost.value)
