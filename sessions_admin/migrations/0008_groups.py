"""Make the three groups of staff. What each may do is a table in docs/reference/permissions.md."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

LOOK = ("view_agentsession", "view_cleanuprun")
GROUPS = {
    "Session viewers": LOOK,
    "Session managers": (*LOOK, "manage_agentsession", "run_cleanup", "view_user", "deactivate_user"),
    "Session auditors": (*LOOK, "view_session_items", "view_auditrecord", "view_quarantined"),
}
APPS = ("chat", "sessions_admin")


def make_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make them with the permissions they need, which in an empty database nobody has made yet."""
    for label in APPS:
        app = apps.get_app_config(label)
        app.models_module = getattr(app, "models_module", True)  # without it passes for an app that has none
        create_permissions(app, apps=apps, verbosity=0)
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label__in=APPS)
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(*permissions.filter(codename__in=codenames))


def remove_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove them; the permissions stay, as they would without them."""
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS).delete()


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0007_store_samples'),
        ('chat', '0009_shelf'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
    ]

    operations = [migrations.RunPython(make_groups, remove_groups)]
