"""Model usage in the admin: tokens and cost per user and day, read-only."""

from django.contrib import admin
from django.http import HttpRequest

from chat.assistant.usage import price
from chat.models import ModelUsage
from sessions_admin.admin.base import ReadOnlyAdmin


@admin.register(ModelUsage)
class ModelUsageAdmin(ReadOnlyAdmin[ModelUsage]):
    """One row per user, day and model, the newest day first."""

    fields = ("day", "user", "model", "responses", "input_tokens", "output_tokens", "price")
    list_display = readonly_fields = fields
    list_select_related = ("user",)
    list_filter = ("model",)
    search_fields = ("user__email",)
    search_help_text = "E-mail address"
    date_hierarchy = "day"
    ordering = ("-day", "pk")

    @admin.display(description="cost", ordering="cost")
    def price(self, usage: ModelUsage) -> str:
        return price(usage.cost)

    def has_view_permission(self, request: HttpRequest, obj: ModelUsage | None = None) -> bool:
        # It shows how active users are: for staff who may view users.
        return super().has_view_permission(request, obj) or request.user.has_perm("chat.view_user")
