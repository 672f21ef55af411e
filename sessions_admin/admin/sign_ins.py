"""Sign-ins and failed ones, without what was typed into the forms. To delete a failed one lets its person try again."""

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.http import HttpRequest

from sessions_admin.admin.shown import SuperusersReadOnly

for model in (AccessAttempt, AccessLog, AccessFailureLog):
    admin.site.unregister(model)


@admin.register(AccessAttempt)
class FailedSignInAdmin(SuperusersReadOnly[AccessAttempt]):
    """Failed sign-ins that still count."""

    list_display = fields = (
        "attempt_time",
        "username",
        "ip_address",
        "user_agent",
        "path_info",
        "failures_since_start",
    )
    search_fields = ("username", "ip_address")
    date_hierarchy = "attempt_time"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request, obj)


@admin.register(AccessLog)
class SignInAdmin(SuperusersReadOnly[AccessLog]):
    """Sign-ins that worked."""

    list_display = fields = ("attempt_time", "logout_time", "username", "ip_address", "user_agent", "path_info")
    search_fields = ("username", "ip_address")
    date_hierarchy = "attempt_time"
