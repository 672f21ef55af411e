import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0004_audit_of_people'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='cleanuprun',
            name='cleanup_one_running',
        ),
        migrations.AddField(
            model_name='cleanuprun',
            name='freed_bytes',
            field=models.PositiveBigIntegerField(db_default=0, default=0, help_text='Given back to the disk.'),
        ),
        migrations.AddField(
            model_name='cleanuprun',
            name='log',
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list, help_text='Pairs of a time and a sentence.'),
        ),
        migrations.AddField(
            model_name='cleanuprun',
            name='purged_conversations',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='cleanuprun',
            name='stopped_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='cleanuprun',
            name='total',
            field=models.PositiveIntegerField(blank=True, help_text='Sessions chosen when it began.', null=True),
        ),
        migrations.AddField(
            model_name='cleanuprun',
            name='trashed_conversations',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name='cleanuprun',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('stopping', 'Stopping'), ('done', 'Done'), ('failed', 'Failed'), ('stopped', 'Stopped')], default='queued', max_length=8),
        ),
        migrations.AddConstraint(
            model_name='cleanuprun',
            constraint=models.UniqueConstraint(models.ExpressionWrapper(models.Q(('status__in', ('running', 'stopping'))), output_field=models.BooleanField()), condition=models.Q(('status__in', ('running', 'stopping'))), name='cleanup_one_under_way'),
        ),
        migrations.AddConstraint(
            model_name='cleanuprun',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'running', 'stopping', 'done', 'failed', 'stopped'])), name='cleanup_status_known'),
        ),
    ]
