"""The staff groups that a migration creates."""

from importlib import import_module

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import connection

migration = import_module("sessions_admin.migrations.0008_groups")


def test_migration_creates_groups_and_permissions_without_duplicates(db: None) -> None:
    Permission.objects.all().delete()
    migration.remove_groups(apps, connection.schema_editor())

    migration.make_groups(apps, connection.schema_editor())

    created = Permission.objects.count()
    for label in migration.APPS:
        create_permissions(apps.get_app_config(label), verbosity=0)
    assert Permission.objects.count() == created
    groups = {group.name: set(group.permissions.values_list("codename", flat=True)) for group in Group.objects.all()}
    assert groups == {name: set(codenames) for name, codenames in migration.GROUPS.items()}


def test_second_run_and_reversal_keep_groups_created_by_staff(db: None) -> None:
    own_group = Group.objects.create(name="Night shift")
    before = Permission.objects.count()
    for _ in range(2):
        migration.make_groups(apps, connection.schema_editor())

    migration.remove_groups(apps, connection.schema_editor())

    assert list(Group.objects.all()) == [own_group]
    assert Permission.objects.count() == before
