"""Concurrent requests for one e-mail address: one succeeds, and no database constraint is violated."""

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
def test_concurrent_requests_give_the_address_to_one_user() -> None:
    users = [User.objects.create_user(f"{n}@example.com", PASSWORD) for n in range(AT_ONCE)]
    barrier = threading.Barrier(2 * AT_ONCE)
    failures: list[DatabaseError] = []

    def record_failures(execute: Callable[..., Any], *args: Any) -> Any:
        try:
            return execute(*args)
        except DatabaseError as error:
            failures.append(error)
            raise

    def attempt(user: User | None) -> bool:
        try:
            with connection.execute_wrapper(record_failures):
                connection.ensure_connection()
                barrier.wait(30)
                if user:
                    accounts.change_email(user, email=WANTED)
                else:
                    accounts.sign_up(email=WANTED, password=PASSWORD, time_zone="UTC")
        except accounts.EmailTaken:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2 * AT_ONCE) as pool:
        won = list(pool.map(attempt, [*users, *[None] * AT_ONCE]))
    assert won.count(True) == 1
    assert User.objects.filter(email=WANTED).count() == 1
    assert failures == []
