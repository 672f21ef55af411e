"""Conversations that were there before there was any retention: it counts from now on.

Else the first clean-up after an upgrade would move them to the trash before anybody was told.
"""

from django.db import migrations

BEGIN = "UPDATE chat_conversation SET kept_at = now() WHERE kept_at IS NULL AND trashed_at IS NULL"


class Migration(migrations.Migration):
    dependencies = [("chat", "0009_shelf")]

    operations = [migrations.RunSQL(BEGIN, migrations.RunSQL.noop)]
