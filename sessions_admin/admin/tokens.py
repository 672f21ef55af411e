"""The tokens of users' programs, with an action that revokes them."""

import uuid
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from chat.exceptions import ThreadkeeperError
from chat.models import ApiToken
from sessions_admin.admin.base import ReadOnlyAdmin, actor_of, badge
from sessions_admin.people.tokens import revoke_token

PERMISSION = "chat.deactivate_user"  # which also ends a user's logins
MAX_TOKENS = 50


@admin.register(ApiToken)
class TokenAdmin(ReadOnlyAdmin[ApiToken]):
    """Tokens with their users; the keys are not stored."""

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
        """Offer only "revoke": revoked tokens are deleted after a while."""
        offered = super().get_actions(request) if request.user.has_perm(PERMISSION) else {}
        return {name: action for name, action in offered.items() if name == "revoke"}

    @admin.display(description="begins with")
    def begins(self, token: ApiToken) -> str:
        """Return the beginning of the token, by which users recognise it."""
        return f"{token.beginning}…"

    @admin.display(description="scopes")
    def opens(self, token: ApiToken) -> str:
        """Return its scopes."""
        return ", ".join(token.scopes)

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        """Return whether it is valid."""
        if token.revoked_at is not None:
            return badge("gone", "revoked")
        return badge("active", "valid") if token.holds(timezone.now()) else badge("gone", "expired or revoked")

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiToken]) -> HttpResponse | None:
        """Confirm with a reason, then revoke the tokens, and report the result."""
        tokens = self.chosen_rows(request, chosen.select_related("user"), MAX_TOKENS, "token")
        if tokens is None:
            return None
        reason = request.POST.get("reason", "").strip()
        if "confirmed" in request.POST and reason:
            for token in tokens:
                self._revoke(request, token, reason)
            return None
        lacks_reason = "confirmed" in request.POST
        return self.render_page(
            request, "admin/chat/apitoken/confirm.html", "Revoke?", tokens=tokens, lacks_reason=lacks_reason
        )

    def _revoke(self, request: HttpRequest, token: ApiToken, reason: str) -> None:
        token_id: uuid.UUID = token.pk
        try:
            revoke_token(token_id, actor=actor_of(request), reason=reason)
        except ThreadkeeperError as error:
            self.message_user(request, f"Token {token.beginning}…: {error.detail}", messages.ERROR)
        else:
            message = f"Token {token.beginning}… of {token.user.email} is revoked."
            self.message_user(request, message, messages.SUCCESS)
