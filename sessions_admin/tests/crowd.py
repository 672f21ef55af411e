"""A database as it is after a month of many people: filled by PostgreSQL itself."""

from django.db import connection, transaction

PEOPLE = """
INSERT INTO chat_user (id, email, password, is_active, is_staff, is_superuser, time_zone, created_at)
SELECT gen_random_uuid(), 'person' || n || '@example.com', '!', true, false, false, 'UTC', now()
FROM generate_series(1, %(people)s) n
"""
CONVERSATIONS = """
WITH people AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM chat_user WHERE NOT is_staff)
INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position, memory_from)
SELECT gen_random_uuid(), people.id, 'Plans ' || g.n, now() - interval '40 days',
    now() - interval '30 days' * power(random(), 2), %(turns)s, 2 * %(turns)s, 0
FROM generate_series(1, %(sessions)s) g (n) JOIN people ON people.n = 1 + (g.n::bigint * g.n) %% %(people)s
"""
SESSIONS = """
INSERT INTO chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,
    first_activity_at, last_activity_at, gone_at, last_error, held_at, hold_reason)
SELECT id, user_id, 'user_' || user_id || '_conv_' || id,
    CASE WHEN updated_at < now() - interval '9 days' THEN 0 ELSE 4 + (random() * 60)::int END,
    CASE WHEN updated_at < now() - interval '9 days' THEN 0 ELSE 900 + (random() * 18000)::int END,
    0, created_at, updated_at, CASE WHEN updated_at < now() - interval '9 days' THEN now() END, '',
    CASE WHEN updated_at > now() - interval '9 days' AND random() < 0.02 THEN now() END, ''
FROM chat_conversation
"""
TURNS = """
INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, client_id, seq, status, attempt, text, items, warning,
    error_code, error_detail, accepted_at, started_at, ended_at)
SELECT gen_random_uuid(), c.id, c.user_id, gen_random_uuid(), gen_random_uuid(), n, 'done', 1, '',
    '[{"role": "user", "content": "Add a task"}]', '', '', '',
    c.updated_at - interval '7 hours' * (%(turns)s - n), c.updated_at, c.updated_at
FROM chat_conversation c CROSS JOIN generate_series(1, %(turns)s) n
"""
MESSAGES = """
INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, created_at)
SELECT CASE WHEN who = 1 THEN t.prompt_id ELSE gen_random_uuid() END, t.conversation_id, t.id,
    CASE who WHEN 1 THEN 'user' ELSE 'assistant' END, 'Add a task', 2 * t.seq - 2 + who, t.accepted_at
FROM chat_turn t CROSS JOIN generate_series(1, 2) who
"""
TABLES = ("chat_user", "chat_conversation", "chat_agentsession", "chat_turn", "chat_message")


def fill(*, people: int, sessions: int, turns: int) -> None:
    """Make so many people and sessions, each of so many turns with two messages."""
    values = {"people": people, "sessions": sessions, "turns": turns}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # what is made here refers to what is there
        for statement in (PEOPLE, CONVERSATIONS, SESSIONS, TURNS, MESSAGES):
            cursor.execute(statement, values if "%(" in statement else None)
        for table in TABLES:
            cursor.execute(f"ANALYZE {table}")
