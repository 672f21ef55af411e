from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0021_adopted_items")]
    operations = [
        migrations.CreateModel(
            name="PendingDeletion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("terms", models.JSONField(default=list)),
                ("report", models.BigIntegerField(null=True, help_text="The audit record of an erasure that waits for this.")),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
        ),
    ]
