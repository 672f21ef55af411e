import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models

# PostgreSQL deletes vectors with what they are of, so that no code that deletes messages has to know of them.
# The tables are new and empty: nothing is scanned, and what is written already is indexed after the migrations, in
# batches (chat.search.index.index_missing), while the record is in use.
LIMIT_WAIT = "SET LOCAL lock_timeout = '5s'"
CASCADE = """
ALTER TABLE chat_messagevector ADD CONSTRAINT message_vector_of_message FOREIGN KEY (message_id)
    REFERENCES chat_message (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE chat_titlevector ADD CONSTRAINT title_vector_of_conversation FOREIGN KEY (conversation_id)
    REFERENCES chat_conversation (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
"""
# What search looked at before, generated from the text by PostgreSQL; migration 0013 made it.
DROP_WORDS = "ALTER TABLE chat_message DROP COLUMN words"
ADD_WORDS = """
ALTER TABLE chat_message ADD COLUMN words tsvector
    GENERATED ALWAYS AS (to_tsvector('english', left(text, 20000))) STORED
"""


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0017_sign_in_log_without_forms'),
    ]

    operations = [
        migrations.RunSQL(LIMIT_WAIT, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='TitleVector',
            fields=[
                ('conversation', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='chat.conversation')),
                ('vector', django.contrib.postgres.search.SearchVectorField()),
            ],
            options={
                'indexes': [django.contrib.postgres.indexes.GinIndex(fastupdate=False, fields=['vector'], name='title_vector')],
            },
        ),
        migrations.CreateModel(
            name='MessageVector',
            fields=[
                ('message', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='chat.message')),
                ('created_at', models.DateTimeField(help_text="The message's.")),
                ('vector', django.contrib.postgres.search.SearchVectorField()),
                ('conversation', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='chat.conversation')),
            ],
            options={
                'indexes': [
                    django.contrib.postgres.indexes.GinIndex(fastupdate=False, fields=['vector'], name='message_vector'),
                    models.Index(fields=['conversation', '-created_at'], name='message_vector_newest'),
                ],
            },
        ),
        migrations.RunSQL(CASCADE, migrations.RunSQL.noop),
        migrations.RunSQL(DROP_WORDS, ADD_WORDS),
    ]
