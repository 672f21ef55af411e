"""Tests run on a PostgreSQL of their own."""

import os

import pytest
from django.conf import settings
from django.db import connection

from chat.models import User


def test_the_data_folder_is_not_the_developers() -> None:
    assert settings.DATA_DIR != settings.BASE_DIR / "data"
    assert str(settings.DATA_DIR) == os.environ["DATA_DIR"]


@pytest.mark.django_db
def test_the_database_has_the_tables(owner: User) -> None:
    assert connection.vendor == "postgresql"
    assert User.objects.get() == owner
