"""Turns that were tried again are earlier versions now: what they had answered gives its position up."""

from django.db import migrations

MARK = """
UPDATE chat_turn SET superseded_by_id = later.id FROM chat_turn later
WHERE later.replaces_id = chat_turn.id AND chat_turn.superseded_by_id IS NULL
"""
GIVE_UP_POSITIONS = """
UPDATE chat_message SET position = NULL FROM chat_turn
WHERE chat_turn.id = chat_message.turn_id AND chat_turn.superseded_by_id IS NOT NULL AND chat_message.role = 'assistant'
"""
MOVE_UP = """
UPDATE chat_message SET position = moved.position
FROM (
    SELECT id, row_number() OVER (PARTITION BY conversation_id ORDER BY position) AS position
    FROM chat_message WHERE position IS NOT NULL
) moved
WHERE moved.id = chat_message.id AND moved.position <> chat_message.position
"""
COUNT = """
UPDATE chat_conversation SET last_position = counted.last
FROM (SELECT conversation_id, max(position) AS last FROM chat_message GROUP BY conversation_id) counted
WHERE counted.conversation_id = chat_conversation.id AND counted.last <> last_position
"""
# Back to a schema in which every message has a position.
PUT_BACK = """
UPDATE chat_message SET position = behind.position
FROM (
    SELECT m.id, c.last_position + row_number() OVER (PARTITION BY c.id ORDER BY m.created_at, m.id) AS position
    FROM chat_message m JOIN chat_conversation c ON c.id = m.conversation_id WHERE m.position IS NULL
) behind
WHERE behind.id = chat_message.id
"""


class Migration(migrations.Migration):
    dependencies = [("chat", "0005_versions")]

    operations = [
        migrations.RunSQL(MARK, migrations.RunSQL.noop),
        migrations.RunSQL(GIVE_UP_POSITIONS, COUNT),
        migrations.RunSQL(MOVE_UP, PUT_BACK),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
