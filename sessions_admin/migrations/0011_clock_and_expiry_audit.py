from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0010_worker_heartbeat_and_clock'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='auditrecord',
            name='audit_action_known',
        ),
        migrations.AlterField(
            model_name='auditrecord',
            name='action',
            field=models.CharField(choices=[('prune', 'Prune'), ('clear', 'Clear'), ('expire', 'Expire'), ('hold', 'Hold'), ('release', 'Release'), ('rebuild', 'Rebuild'), ('inspect', 'Inspect'), ('export', 'Export'), ('erase', 'Erase'), ('deactivate', 'Deactivate'), ('reactivate', 'Reactivate'), ('revoke_token', 'Revoke Token'), ('cleanup', 'Clean-up'), ('preview', 'Preview'), ('stop', 'Stop'), ('reconcile', 'Compare'), ('backup', 'Backup'), ('restore', 'Restore'), ('confirm_clock', 'Confirm Clock'), ('expire_audit', 'Expire Audit')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='auditrecord',
            constraint=models.CheckConstraint(condition=models.Q(('action__in', ['prune', 'clear', 'expire', 'hold', 'release', 'rebuild', 'inspect', 'export', 'erase', 'deactivate', 'reactivate', 'revoke_token', 'cleanup', 'preview', 'stop', 'reconcile', 'backup', 'restore', 'confirm_clock', 'expire_audit'])), name='audit_action_known'),
        ),
    ]
