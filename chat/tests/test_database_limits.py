"""A statement is ended when its time is over, and the error counts as one that passes."""

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction

from chat.infra.database_limits import is_transient, long_statements, statement_timeout
from chat.models import User

SLEEP = "SELECT pg_sleep(5)"


def limit_now() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])


def test_a_statement_ends_at_its_limit_and_the_limit_with_its_block(db: None) -> None:
    before = limit_now()
    with pytest.raises(OperationalError) as raised, statement_timeout(0.05), connection.cursor() as cursor:
        cursor.execute(SLEEP)
    assert is_transient(raised.value)
    with transaction.atomic(), statement_timeout(2):
        assert limit_now() == "2s"
        with statement_timeout(1.5):
            assert limit_now() == "1500ms"
        assert limit_now() == "2s"
    assert limit_now() == before


def test_what_takes_long_by_its_nature_says_so(db: None) -> None:
    @long_statements(3)
    def limit_in_a_long_call() -> str:
        return limit_now()

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '2s'")
    assert limit_in_a_long_call() == "3s"
    assert limit_now() == "2s"
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
    assert limit_in_a_long_call() == "0", "where there is no limit, none is set"


def test_a_lost_connection_passes_and_what_the_statement_itself_did_wrong_does_not(owner: User) -> None:
    with pytest.raises(IntegrityError) as twice, transaction.atomic():
        User.objects.create_user(owner.email, "correct horse battery")
    with pytest.raises(DataError) as unusable, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    assert not is_transient(twice.value)
    assert not is_transient(unusable.value)
    assert not is_transient(ValueError())
    with pytest.raises(psycopg.OperationalError) as lost:
        psycopg.connect("host=/nowhere", connect_timeout=2)
    assert is_transient(lost.value)
