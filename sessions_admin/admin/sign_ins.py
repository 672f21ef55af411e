"""The log of sign-ins and failed sign-ins, read-only."""

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin

from sessions_admin.admin.base import SuperusersReadOnly

for model in (AccessAttempt, AccessLog, AccessFailureLog):
    admin.site.unregister(model)


@admin.register(AccessAttempt)
class FailedSignInAdmin(SuperusersReadOnly[AccessAttempt]):
    """Failed sign-ins."""

    fields = ("attempt_time", "username", "ip_address", "user_agent", "path_info", "failures_since_start")
    list_display = fields
    search_fields = ("username", "ip_address")
    date_hierarchy = "attempt_time"


@admin.register(AccessLog)
class SignInAdmin(SuperusersReadOnly[AccessLog]):
    """Sign-ins."""

    list_display = fields = ("attempt_time", "logout_time", "username", "ip_address", "user_agent", "path_info")
    search_fields = ("username", "ip_address")
    date_hierarchy = "attempt_time"
