"""Invalid rows of the session file, without their content."""

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chat.models import Quarantined
from sessions_admin.admin.base import ReadOnlyAdmin, size


@admin.register(Quarantined)
class QuarantinedAdmin(ReadOnlyAdmin[Quarantined]):
    """Rows and whole session files that could not be used, the newest first."""

    list_display = ("created_at", "what", "reason", "size")
    search_fields = ("session_id",)
    search_help_text = "Session id"
    date_hierarchy = "created_at"
    # The content of a row is a user's text.
    fields = ("created_at", "what", "session", "reason", "size")
    readonly_fields = ("what", "session", "size")

    @admin.display(description="what")
    def what(self, found: Quarantined) -> str:
        return f"Row {found.row_id} of {found.session_id}" if found.session_id else f"File {found.content}"

    @admin.display(empty_value="")
    def session(self, found: Quarantined) -> SafeString | None:
        """Link to the session, where staff with the permission can inspect the content."""
        if not found.session_id:
            return None
        sessions = reverse("admin:chat_agentsession_changelist", query={"q": found.session_id})
        return format_html('<a href="{}">{}</a>', sessions, found.session_id)

    @admin.display
    def size(self, found: Quarantined) -> str:
        return size(len(found.content.encode())) if found.session_id else ""

    def has_view_permission(self, request: HttpRequest, obj: Quarantined | None = None) -> bool:
        # Staff who view sessions also view their quarantined rows.
        return super().has_view_permission(request, obj) or request.user.has_perm("chat.view_agentsession")
