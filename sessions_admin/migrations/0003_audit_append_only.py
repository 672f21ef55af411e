"""The audit is written and never changed: not by the admin, not by a superuser, not by a slip of ours."""

from django.db import migrations

GUARD = """
CREATE FUNCTION sessions_admin_audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit is never changed.' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE ON sessions_admin_auditrecord
    FOR EACH ROW EXECUTE FUNCTION sessions_admin_audit_is_kept();
"""
LET_GO = """
DROP TRIGGER audit_is_kept ON sessions_admin_auditrecord;
DROP FUNCTION sessions_admin_audit_is_kept();
"""


class Migration(migrations.Migration):
    dependencies = [("sessions_admin", "0002_audit")]

    operations = [migrations.RunSQL(GUARD, LET_GO)]
