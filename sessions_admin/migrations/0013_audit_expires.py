"""The audit may be removed by its retention, which says so; nothing younger than 30 days, and nothing is changed."""

from django.db import migrations

GUARD = """
CREATE OR REPLACE FUNCTION sessions_admin_audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('threadkeeper.expires_audit', true) = 'on'
        AND OLD.at < now() - interval '30 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'The audit is never changed.' USING ERRCODE = 'restrict_violation';
END
$$;
"""
BEFORE = """
CREATE OR REPLACE FUNCTION sessions_admin_audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit is never changed.' USING ERRCODE = 'restrict_violation';
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("sessions_admin", "0012_run_details_removed")]

    operations = [migrations.RunSQL(GUARD, BEFORE)]
