import django.db.models.deletion
from django.db import migrations, models

# The table is new: nothing is scanned.
LIMIT_WAIT = "SET LOCAL lock_timeout = '5s'"
CASCADE = """
ALTER TABLE chat_adopteditems ADD CONSTRAINT adopted_items_of_conversation FOREIGN KEY (conversation_id)
    REFERENCES chat_conversation (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
"""


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0020_task_revision_index'),
    ]

    operations = [
        migrations.RunSQL(LIMIT_WAIT, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='AdoptedItems',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('after_turn', models.PositiveIntegerField(help_text='The `seq` of the turn that they follow; 0 before the first.')),
                ('items', models.TextField(help_text='A JSON array in ASCII: jsonb cannot hold all that a session can.')),
                ('is_forgotten', models.BooleanField(default=False, help_text='No rebuild includes them: staff cleared the session.')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('conversation', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='adopted', to='chat.conversation')),
            ],
            options={
                'verbose_name_plural': 'adopted items',
                'ordering': ['after_turn', 'pk'],
            },
        ),
        migrations.RunSQL(CASCADE, migrations.RunSQL.noop),
    ]
