"""The tokens of users' programs, and an action that revokes some."""

import uuid
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from chat.exceptions import ThreadkeeperError
from chat.models import ApiToken, User
from sessions_admin import audit
from sessions_admin.admin.base import ReadOnlyAdmin, badge
from sessions_admin.people.tokens import revoke_token

PERMISSION = "chat.deactivate_user"  # also ends a user's logins
AT_ONCE = 50


@admin.register(ApiToken)
class TokenAdmin(ReadOnlyAdmin[ApiToken]):
    """Tokens by user; their keys are not stored."""

    list_display = ("name", "user", "begins", "opens", "state", "created_at", "expires_at", "last_used_at")
    list_filter = (("user", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("user",)
    search_fields = ("user__email", "name", "id__exact")
    ordering = ("-created_at", "-id")
    fields = ("name", "user", "begins", "opens", "state", "created_at", "expires_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return request.user.has_perm(PERMISSION)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(PERMISSION)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer no deletion: revoked tokens are removed after a while."""
        offered = super().get_actions(request) if request.user.has_perm(PERMISSION) else {}
        return {name: action for name, action in offered.items() if name == "revoke"}

    @admin.display(description="begins with")
    def begins(self, token: ApiToken) -> str:
        """Show what people know it by."""
        return f"{token.beginning}…"

    @admin.display(description="scopes")
    def opens(self, token: ApiToken) -> str:
        """Name its scopes."""
        return ", ".join(token.scopes)

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        """Return whether it is valid."""
        if token.revoked_at is not None:
            return badge("gone", "revoked")
        return badge("active", "valid") if token.holds(timezone.now()) else badge("gone", "expired or revoked")

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiToken]) -> HttpResponse | None:
        """Confirm, with a reason; then revoke them, and report the result."""
        tokens = list(chosen.select_related("user")[: AT_ONCE + 1])
        if len(tokens) > AT_ONCE:
            self.message_user(request, f"Choose at most {AT_ONCE} tokens.", messages.ERROR)
            return None
        reason = request.POST.get("reason", "").strip()
        if "confirmed" in request.POST and reason:
            for token in tokens:
                self._revoke(request, token, reason)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke?",
            "opts": self.opts,
            "media": self.media,
            "tokens": tokens,
            "lacks_answer": "confirmed" in request.POST,
        }
        return TemplateResponse(request, "admin/chat/apitoken/confirm.html", context)

    def _revoke(self, request: HttpRequest, token: ApiToken, reason: str) -> None:
        assert isinstance(request.user, User)
        token_id: uuid.UUID = token.pk
        try:
            revoke_token(token_id, actor=audit.of_user(request.user), reason=reason)
        except ThreadkeeperError as error:
            self.message_user(request, f"Token {token.beginning}…: {error.detail}", messages.ERROR)
        else:
            said = f"Token {token.beginning}… of {token.user.email} is revoked."
            self.message_user(request, said, messages.SUCCESS)
