from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("chat", "0019_task_revisions")]
    operations = [
        AddIndexConcurrently(
            model_name="task",
            index=models.Index(fields=["user", "revision"], name="task_by_revision"),
        ),
    ]
