import sys

from django.db import migrations

import chat.models.email

NOT_ASCII = r"[^\x01-\x7f]"


def normalize(apps, schema_editor):
    """Bring stored addresses into the form in which they are looked up from now on."""
    users = apps.get_model("chat", "User").objects
    for user in users.filter(email__regex=NOT_ASCII).only("email").iterator():
        normal = chat.models.email.normalize_email(user.email)
        if normal == user.email:
            continue
        if users.filter(email=normal).exists():
            sys.stderr.write(f"The account {user.pk} cannot sign in: another one has the same e-mail address.\n")
        else:
            users.filter(pk=user.pk).update(email=normal)


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0014_former_emails'),
    ]

    operations = [
        migrations.AlterField(
            model_name='formeremail',
            name='email',
            field=chat.models.email.EmailAddressField(max_length=254, verbose_name='e-mail address'),
        ),
        migrations.AlterField(
            model_name='user',
            name='email',
            field=chat.models.email.EmailAddressField(error_messages={'unique': 'There is an account with this e-mail address.'}, max_length=254, unique=True, verbose_name='e-mail address'),
        ),
        migrations.RunPython(normalize, migrations.RunPython.noop),
    ]
