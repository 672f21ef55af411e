from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0011_clock_and_expiry_audit'),
    ]

    operations = [
        migrations.AddField(
            model_name='cleanuprun',
            name='details_removed_at',
            field=models.DateTimeField(blank=True, help_text='Since when it is no longer known which sessions and conversations it took.', null=True),
        ),
    ]
