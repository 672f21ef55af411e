"""Two people who want one address at the same moment: one gets it, and PostgreSQL sees no violated constraint."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, connection

from chat.accounts import services as accounts
from chat.models import User
from config.tests.support import PASSWORD

WANTED = "wanted@example.com"
AT_ONCE = 6


@pytest.mark.django_db(transaction=True)
def test_one_gets_the_address_and_no_constraint_is_violated() -> None:
    people = [User.objects.create_user(f"{n}@example.com", PASSWORD) for n in range(AT_ONCE)]
    barrier = threading.Barrier(2 * AT_ONCE)
    failures: list[DatabaseError] = []

    def watch(execute: Callable[..., Any], *args: Any) -> Any:
        try:
            return execute(*args)
        except DatabaseError as error:
            failures.append(error)
            raise

    def attempt(person: User | None) -> bool:
        try:
            with connection.execute_wrapper(watch):
                connection.ensure_connection()
                barrier.wait(30)
                if person:
                    accounts.change_email(person, email=WANTED)
                else:
                    accounts.sign_up(email=WANTED, password=PASSWORD, time_zone="UTC")
        except accounts.EmailTaken:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        won = list(pool.map(attempt, [*people, *[None] * AT_ONCE]))
    assert won.count(True) == 1
    assert User.objects.filter(email=WANTED).count() == 1
    assert failures == []
