import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0005_run_stages'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='CleanedConversation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('conversation_id', models.UUIDField()),
                ('is_purged', models.BooleanField(help_text='Else it went to the trash.')),
                ('messages', models.PositiveIntegerField()),
                ('updated_at', models.DateTimeField(help_text='When somebody last said something in it.')),
            ],
        ),
        migrations.AddField(
            model_name='cleanedconversation',
            name='run',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='conversations', to='sessions_admin.cleanuprun'),
        ),
        migrations.AddField(
            model_name='cleanedconversation',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='cleanedconversation',
            constraint=models.UniqueConstraint(fields=('run', 'conversation_id'), name='cleaned_conversation_once_a_run'),
        ),
    ]
