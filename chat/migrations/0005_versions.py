"""Earlier versions of a conversation are kept: a turn names the one whose place it took, and the one that took its."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0004_stop_asked")]

    operations = [
        migrations.RenameField("turn", "retry_of", "replaces"),
        migrations.AlterField(
            "turn",
            "replaces",
            models.ForeignKey(
                blank=True,
                help_text="The turn whose place it took: tried again, answered anew, or its message edited.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="chat.turn",
            ),
        ),
        migrations.AddField(
            "turn",
            "superseded_by",
            models.ForeignKey(
                blank=True,
                help_text="The turn that took its place, or that of one before it: it belongs to an earlier version.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="supersedes",
                to="chat.turn",
            ),
        ),
        migrations.AlterField("message", "position", models.PositiveIntegerField(blank=True, null=True)),
        migrations.RemoveConstraint("message", "message_position_unique"),
        migrations.AddConstraint(
            "message",
            models.UniqueConstraint(
                deferrable=models.Deferrable.IMMEDIATE,
                fields=("conversation", "position"),
                name="message_position_unique",
            ),
        ),
    ]
