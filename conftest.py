"""The cast of every test: an owner, an outsider who must see nothing of theirs, and staff."""

import pytest
from django.test import AsyncClient, Client

from chat.models import User

PASSWORD = "correct horse battery"


@pytest.fixture
def owner(db: None) -> User:
    """The person whom a test is about."""
    return User.objects.create_user("owner@example.com", PASSWORD)


@pytest.fixture
def outsider(db: None) -> User:
    """Another person, to whom nothing of the owner's may be shown."""
    return User.objects.create_user("outsider@example.com", PASSWORD)


@pytest.fixture
def staff(db: None) -> User:
    """A person who may do everything in the admin."""
    return User.objects.create_superuser("staff@example.com", PASSWORD)


def _signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def owner_client(owner: User) -> Client:
    """A browser in which the owner is signed in."""
    return _signed_in(owner)


@pytest.fixture
def outsider_client(outsider: User) -> Client:
    """A browser in which the outsider is signed in."""
    return _signed_in(outsider)


@pytest.fixture
def staff_client(staff: User) -> Client:
    """A browser in which staff is signed in."""
    return _signed_in(staff)


@pytest.fixture
def async_owner_client(owner: User) -> AsyncClient:
    """The owner's browser, for an async test."""
    client = AsyncClient()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    return client
