"""The groups of staff that a migration makes."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client

from chat.models import User

migration = import_module("sessions_admin.migrations.0008_groups")


def test_a_new_database_has_them_with_permissions_that_the_first_migrate_does_not_make_twice(db: None) -> None:
    Permission.objects.all().delete()
    migration.remove_groups(apps, connection.schema_editor())

    migration.make_groups(apps, connection.schema_editor())

    made = Permission.objects.count()
    for label in migration.APPS:
        create_permissions(apps.get_app_config(label), verbosity=0)
    assert Permission.objects.count() == made
    given = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()}
    assert given == {name: set(codenames) for name, codenames in migration.GROUPS.items()}


def test_a_second_time_and_the_way_back_leave_what_others_made(db: None) -> None:
    mine = Group.objects.create(name="Night shift")
    before = Permission.objects.count()
    for _ in range(2):
        migration.make_groups(apps, connection.schema_editor())

    migration.remove_groups(apps, connection.schema_editor())

    assert list(Group.objects.all()) == [mine]
    assert Permission.objects.count() == before


@pytest.mark.django_db
def test_a_superuser_puts_somebody_into_a_group_and_they_may_do_what_it_may(staff_client: Client, owner: User) -> None:
    migration.make_groups(apps, connection.schema_editor())
    viewers = Group.objects.get(name="Session viewers")
    form = {"email": owner.email, "time_zone": "UTC", "is_active": "on", "is_staff": "on", "groups": viewers.pk}

    assert staff_client.post(f"/admin/chat/user/{owner.pk}/change/", form).status_code == 302

    browser = Client()
    browser.force_login(User.objects.get(pk=owner.pk), backend="django.contrib.auth.backends.ModelBackend")
    assert browser.get("/admin/chat/agentsession/").status_code == 200
    assert browser.get("/admin/sessions_admin/auditrecord/").status_code == 403
