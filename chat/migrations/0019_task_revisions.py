from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("chat", "0018_search_index")]
    operations = [
        migrations.AddField(
            model_name="task",
            name="revision",
            field=models.PositiveBigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="The revision of the person's list that changed it last.",
            ),
        ),
        migrations.AddField(
            model_name="taskcounter",
            name="revision",
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
    ]
