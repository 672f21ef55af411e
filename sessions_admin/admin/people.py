"""People: who they are and what they may do. Their conversations are not shown here."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.http import HttpRequest

from chat.models import User
from sessions_admin.admin.shown import SuperusersOnly

RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


class NewPersonForm(AdminUserCreationForm[User]):
    """An e-mail address and a password, or none yet."""

    class Meta:
        model = User
        fields = ("email",)


class PersonForm(UserChangeForm[User]):
    """A person's fields, without a name to sign in by."""

    class Meta:
        model = User
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets say which


@admin.register(User)
class PersonAdmin(UserAdmin[User]):
    """Django's own pages for people, by e-mail address."""

    form = PersonForm
    add_form = NewPersonForm
    add_form_template = None
    fieldsets = (
        (None, {"fields": ("email", "password", "time_zone")}),
        ("What they may do", {"fields": ("is_active", *RIGHTS)}),
        ("When", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)
    readonly_fields = ("last_login", "created_at")
    list_display = ("email", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    search_fields = ("email", "id__exact")
    ordering = ("email",)
    show_full_result_count = False

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Let superusers alone give rights: others could give themselves all of them."""
        return (*self.readonly_fields, *(() if request.user.is_superuser else RIGHTS))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Keep a superuser's password and address from those who are none."""
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: deleting the rows would leave the person's sessions in the store. Deactivate them instead."""
        return False


def _may_touch(request: HttpRequest, person: User | None) -> bool:
    return bool(request.user.is_superuser) or person is None or not person.is_superuser


admin.site.unregister(Group)


@admin.register(Group)
class RightsAdmin(SuperusersOnly, GroupAdmin):
    """Groups are rights too."""
