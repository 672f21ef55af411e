from django.db import migrations

# What search looks at, kept in step by PostgreSQL itself. No model names it: nothing else ever has to read it.
# Of no more than a tsvector surely holds (1 MB), and than PostgreSQL's parser, slow with some texts, takes in a moment.
ADD = """
ALTER TABLE chat_message ADD COLUMN words tsvector
    GENERATED ALWAYS AS (to_tsvector('english', left(text, 20000))) STORED
"""
DROP = "ALTER TABLE chat_message DROP COLUMN words"


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0012_api_tokens'),
    ]

    operations = [migrations.RunSQL(ADD, DROP)]
