from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sessions_admin', '0006_cleaned_conversations'),
    ]

    operations = [
        migrations.CreateModel(
            name='StoreSample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_index=True)),
                ('sessions', models.PositiveIntegerField()),
                ('items', models.PositiveBigIntegerField()),
                ('bytes', models.PositiveBigIntegerField(help_text='Of the items.')),
                ('file_bytes', models.PositiveBigIntegerField(help_text='Of the file and its log.')),
            ],
            options={
                'ordering': ['-at'],
            },
        ),
    ]
