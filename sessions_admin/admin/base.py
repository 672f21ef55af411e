"""Base classes and helpers of the admin: read-only classes, badges, readable sizes."""

from typing import Any

from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chat.models import User
from sessions_admin.audit import user_actor
from sessions_admin.site import GuardedAdmin, M


class ReadOnlyAdmin(GuardedAdmin[M]):
    """Rows that staff cannot edit: verbs change them."""

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


class _SuperusersSee(GuardedAdmin[M]):
    """Refuses everyone but superusers, whatever permissions they have."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)


class SuperusersOnly(_SuperusersSee[Any]):
    """Rows that only superusers can read and edit."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_superuser(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_superuser(request)


class SuperusersReadOnly(_SuperusersSee[M], ReadOnlyAdmin[M]):
    """Rows that only superusers can read."""


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def staff_of(request: HttpRequest) -> User:
    """Return the signed-in member of staff."""
    assert isinstance(request.user, User)
    return request.user


def actor_of(request: HttpRequest) -> str:
    """Return the signed-in member of staff as an actor for the audit."""
    return user_actor(staff_of(request))


def badge(value: str, label: str) -> SafeString:
    """Render a state as a coloured word."""
    return format_html('<span class="badge badge--{}">{}</span>', value, label)


def size(count: int) -> str:
    """Format a number of bytes."""
    return filesizeformat(count)
