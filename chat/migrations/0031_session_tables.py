from django.db import migrations

from chat.memory.database_tables import SCHEMA


class Migration(migrations.Migration):
    """The tables of a session store in this database. They have no models: the SDK defines two of them."""

    dependencies = [("chat", "0030_week_start")]
    operations = [
        migrations.RunSQL(
            SCHEMA,
            "DROP TABLE agent_messages, agent_sessions, threadkeeper_turns, threadkeeper_digests",
        )
    ]
