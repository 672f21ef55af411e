"""The groups of staff that a migration makes."""

from importlib import import_module

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import connection

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
