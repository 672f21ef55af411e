"""Who did what to which session: to be read by those who may, and changed by nobody."""

from django.contrib import admin

from sessions_admin.admin.shown import ReadOnlyAdmin
from sessions_admin.models import AuditRecord


@admin.register(AuditRecord)
class AuditRecordAdmin(ReadOnlyAdmin[AuditRecord]):
    """Audit records, the newest first."""

    list_display = ("at", "action", "session_id", "actor", "reason")
    list_filter = ("action",)
    date_hierarchy = "at"
    search_fields = ("=session_id", "=actor")
    search_help_text = "The whole of a session id, or of an actor"
    fields = ("at", "action", "session_id", "actor", "reason", "result")
