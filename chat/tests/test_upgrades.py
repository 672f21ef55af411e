"""Upgrades keep the data of earlier versions usable."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from chat.models import Conversation, FormerEmail, User
from chat.models.retention import leaving, to_trash
from chat.search.services import search
from chat.tests.stored_turns import add_turn, conversation
from config.tests.support import PASSWORD


@pytest.mark.django_db
def test_retention_of_old_conversations_counts_from_the_upgrade(owner: User) -> None:
    now = timezone.now()
    old = Conversation.objects.create(user=owner, updated_at=now - timedelta(days=400))
    assert list(to_trash(now)) == [old]
    with connection.cursor() as cursor:
        cursor.execute(import_module("chat.migrations.0010_retention_begins").BEGIN)
    assert not to_trash(now).exists()
    assert not leaving(now).exists()
    # It is announced first, and moves to the trash later.
    assert list(leaving(now + timedelta(days=24))) == [old]
    assert list(to_trash(now + timedelta(days=31))) == [old]


@pytest.mark.django_db
def test_former_addresses_are_collected_from_logs_of_earlier_versions(owner: User, outsider: User) -> None:
    client = Client()
    client.post("/accounts/login/", {"username": owner.email, "password": PASSWORD})
    LogEntry.objects.log_actions(outsider.pk, [outsider, owner], CHANGE, "")
    User.objects.filter(pk=owner.pk).update(email="second@example.com")
    LogEntry.objects.log_actions(outsider.pk, [User.objects.get(pk=owner.pk)], CHANGE, "")
    client.logout()
    client.post("/accounts/login/", {"username": "second@example.com", "password": PASSWORD})
    User.objects.filter(pk=owner.pk).update(email="third@example.com")
    LogEntry.objects.filter(object_repr="second@example.com").delete()
    FormerEmail.objects.all().delete()

    import_module("chat.migrations.0014_former_emails").fill(apps, connection.schema_editor())

    found = FormerEmail.objects.values_list("user", "email")
    assert set(found) == {(owner.pk, "owner@example.com"), (owner.pk, "second@example.com")}


@pytest.mark.django_db(transaction=True)
def test_messages_and_titles_of_0_5_are_found_after_the_upgrade(owner: User) -> None:
    add_turn(conversation(owner, "Party"), "Buy groceries", "Added.")
    try:
        call_command("migrate", "chat", "0013", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)
    for words in ("grocery", "party"):
        assert [hit.title for hit in search(user_id=owner.pk, words=words, limit=10)] == ["Party"]
