from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0003_audit_append_only'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='auditrecord',
            name='audit_action_known',
        ),
        migrations.AddField(
            model_name='auditrecord',
            name='person',
            field=models.CharField(blank=True, db_default='', db_index=True, default='', help_text='The id of whom it was about.', max_length=36),
        ),
        migrations.AlterField(
            model_name='auditrecord',
            name='action',
            field=models.CharField(choices=[('prune', 'Prune'), ('clear', 'Clear'), ('expire', 'Expire'), ('hold', 'Hold'), ('release', 'Release'), ('rebuild', 'Rebuild'), ('inspect', 'Inspect'), ('export', 'Export'), ('erase', 'Erase'), ('deactivate', 'Deactivate'), ('reactivate', 'Reactivate'), ('cleanup', 'Clean-up'), ('preview', 'Preview'), ('stop', 'Stop'), ('reconcile', 'Compare'), ('backup', 'Backup'), ('restore', 'Restore')], max_length=16),
        ),
        migrations.AlterField(
            model_name='auditrecord',
            name='session_id',
            field=models.CharField(blank=True, db_index=True, max_length=100),
        ),
        migrations.AddConstraint(
            model_name='auditrecord',
            constraint=models.CheckConstraint(condition=models.Q(('action__in', ['prune', 'clear', 'expire', 'hold', 'release', 'rebuild', 'inspect', 'export', 'erase', 'deactivate', 'reactivate', 'cleanup', 'preview', 'stop', 'reconcile', 'backup', 'restore'])), name='audit_action_known'),
        ),
    ]
