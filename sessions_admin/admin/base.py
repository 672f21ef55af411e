"""What the lists of the admin share: read-only classes, badges, readable sizes."""

from typing import Any

from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions_admin.site import GuardedAdmin, M


class ReadOnlyAdmin(GuardedAdmin[M]):
    """Rows that staff read and do not edit: verbs change them."""

    show_full_result_count = False
    list_per_page = 50

    class Media:
        css = {"all": ["sessions_admin/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SuperusersOnly(GuardedAdmin[Any]):
    """Refuses everybody else, whatever permissions they hold."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)


class SuperusersReadOnly(ReadOnlyAdmin[M]):
    """Rows that only superusers read."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def badge(value: str, label: str) -> SafeString:
    """Show a state as a coloured word."""
    return format_html('<span class="badge badge--{}">{}</span>', value, label)


def size(count: int) -> str:
    """Show bytes for people."""
    return filesizeformat(count)
