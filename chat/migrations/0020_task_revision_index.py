from django.db import migrations, models


class Migration(migrations.Migration):
    # Not built concurrently: `restore` migrates within one transaction, and a list of tasks is short.
    dependencies = [("chat", "0019_task_revisions")]
    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(fields=["user", "revision"], name="task_by_revision"),
        ),
    ]
