from django.db import migrations, models

ACTIONS = [('prune', 'Prune'), ('clear', 'Clear'), ('expire', 'Expire'), ('hold', 'Hold'), ('release', 'Release'), ('rebuild', 'Rebuild'), ('inspect', 'Inspect'), ('export', 'Export'), ('erase', 'Erase'), ('deactivate', 'Deactivate'), ('reactivate', 'Reactivate'), ('revoke_token', 'Revoke Token'), ('cleanup', 'Clean-up'), ('preview', 'Preview'), ('stop', 'Stop'), ('reconcile', 'Compare'), ('backup', 'Backup'), ('restore', 'Restore'), ('confirm_clock', 'Confirm Clock'), ('expire_audit', 'Expire Audit'), ('migrate_sessions', 'Migrate')]


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0013_audit_expires'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='auditrecord',
            name='audit_action_known',
        ),
        migrations.AlterField(
            model_name='auditrecord',
            name='action',
            field=models.CharField(choices=ACTIONS, max_length=16),
        ),
        migrations.AddConstraint(
            model_name='auditrecord',
            constraint=models.CheckConstraint(condition=models.Q(('action__in', [name for name, _ in ACTIONS])), name='audit_action_known'),
        ),
    ]
