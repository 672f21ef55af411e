from django.db import migrations

# Forms were stored whole, but for the field `password`: with passwords of other fields, and with those that were typed
# into the field of the e-mail address, so that only addresses of accounts stay. These tables belong to django-axes.
EMPTY = """
DO $$
BEGIN
    IF to_regclass('axes_accessattempt') IS NOT NULL THEN
        UPDATE axes_accessattempt a SET get_data = '', post_data = '', username = (
            SELECT email FROM chat_user WHERE email = lower(a.username)
            UNION SELECT email FROM chat_formeremail WHERE email = lower(a.username)
        );
    END IF;
    IF to_regclass('axes_accessfailurelog') IS NOT NULL THEN
        UPDATE axes_accessfailurelog a SET username = NULL
        WHERE NOT EXISTS (SELECT FROM chat_user WHERE email = lower(a.username))
            AND NOT EXISTS (SELECT FROM chat_formeremail WHERE email = lower(a.username));
    END IF;
END
$$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0016_attempt_counts'),
    ]

    operations = [migrations.RunSQL(EMPTY, migrations.RunSQL.noop)]
