import hashlib

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import migrations, models

# PostgreSQL writes the address down itself, so that no way of changing it can forget to.
KEEP = """
CREATE FUNCTION chat_keep_former_email() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chat_formeremail (user_id, email) VALUES (OLD.id, OLD.email)
        ON CONFLICT (user_id, email) DO UPDATE SET changed_at = excluded.changed_at;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_former_email AFTER UPDATE OF email ON chat_user
    FOR EACH ROW WHEN (OLD.email IS DISTINCT FROM NEW.email) EXECUTE FUNCTION chat_keep_former_email();
"""
FORGET = """
DROP TRIGGER keep_former_email ON chat_user;
DROP FUNCTION chat_keep_former_email();
"""

# What versions before this one have of former addresses: the admin's log names accounts by the address of the time,
# and so does the log of sign-ins, which knows a living login by the hash of its cookie.
IN_ADMIN_LOG = """
SELECT u.id, lower(l.object_repr), max(l.action_time)
FROM django_admin_log l
JOIN django_content_type t ON t.id = l.content_type_id AND t.app_label = 'chat' AND t.model = 'user'
JOIN chat_user u ON u.id::text = l.object_id AND u.email <> lower(l.object_repr)
GROUP BY 1, 2
"""
AT_SIGN_IN = """
SELECT a.session_hash, lower(a.username), max(a.attempt_time) FROM axes_accesslog a
WHERE a.session_hash = ANY(%s) AND a.username IS NOT NULL GROUP BY 1, 2
"""
LOGINS = "SELECT session_key, session_data FROM django_session WHERE session_key > %s ORDER BY session_key LIMIT 1000"


def fill(apps, schema_editor):
    users, former = apps.get_model("chat", "User"), apps.get_model("chat", "FormerEmail")
    with schema_editor.connection.cursor() as cursor:
        for user_id, email, at in [*in_admin_log(cursor), *at_sign_in(cursor)]:
            if is_address(email) and users.objects.filter(pk=user_id).exclude(email=email).exists():
                former.objects.get_or_create(user_id=user_id, email=email, defaults={"changed_at": at})


def in_admin_log(cursor):
    if has_tables(cursor, "django_admin_log", "django_content_type"):
        cursor.execute(IN_ADMIN_LOG)
        yield from cursor.fetchall()


def at_sign_in(cursor):
    if not has_tables(cursor, "axes_accesslog", "django_session"):
        return
    store, last = SessionStore(), ""
    while page := cursor.execute(LOGINS, [last]).fetchall():
        last = page[-1][0]
        owners = {hashlib.sha256(key.encode()).hexdigest(): store.decode(data).get("_auth_user_id") for key, data in page}
        cursor.execute(AT_SIGN_IN, [[hashed for hashed, user_id in owners.items() if user_id]])
        yield from [(owners[hashed], email, at) for hashed, email, at in cursor.fetchall()]


def has_tables(cursor, *names):
    cursor.execute("SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name", [list(names)])
    return cursor.fetchone()[0]


def is_address(text):
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= 254


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0013_words_of_messages'),
    ]

    operations = [
        migrations.CreateModel(
            name='FormerEmail',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('email', models.EmailField(max_length=254, verbose_name='e-mail address')),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='former_emails', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('user', 'email'), name='former_email_once')],
            },
        ),
        migrations.RunSQL(KEEP, FORGET),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
