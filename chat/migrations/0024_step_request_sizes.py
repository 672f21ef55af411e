from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0023_turn_reasoning")]
    operations = [
        migrations.AddField(
            "turnstep",
            "sent_estimate",
            models.PositiveIntegerField(
                null=True, blank=True, help_text="Our estimate of the request's tokens, to compare with those reported."
            ),
        ),
        migrations.AddField(
            "turnstep",
            "sent_turns",
            models.PositiveIntegerField(
                null=True,
                blank=True,
                help_text="User turns in the request, where older ones were left out for their size.",
            ),
        ),
    ]
