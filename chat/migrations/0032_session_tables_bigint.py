from django.db import migrations

from chat.memory.database_tables import WIDEN


class Migration(migrations.Migration):
    """Ids of rows in the session store have 64 bits: a million people a day use up 32 within months."""

    dependencies = [("chat", "0031_session_tables")]
    operations = [migrations.RunSQL(WIDEN, migrations.RunSQL.noop)]
