from django.db import migrations

from chat.memory.database_tables import SCHEMA


class Migration(migrations.Migration):
    """The tables of a session store in this database. They have no models: the SDK defines two of them."""

    dependencies = [("chat", "0030_week_start")]
    operations = [
        # Another program may keep sessions in two of them, so that an earlier version leaves them where they are.
        migrations.RunSQL(SCHEMA, migrations.RunSQL.noop)
    ]
