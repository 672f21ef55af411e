"""What the assistant remembers of each conversation: to look at, and to look after by verbs that ask first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from chat.exceptions import ThreadkeeperError
from chat.models import AgentSession, User
from chat.models.session import State
from sessions_admin import audit, lifecycle
from sessions_admin.admin.shown import ReadOnlyAdmin, badge, size

AT_ONCE = 200  # sessions that one confirmation may be about


@dataclass(frozen=True, slots=True)
class Verb:
    """Something staff can do to the sessions they have chosen."""

    name: str
    label: str
    does: str  # what the page says before it is done
    done: str
    function: Callable[..., lifecycle.Outcome]
    needs_reason: bool = False
    is_grave: bool = False


VERBS = (
    Verb(
        "prune",
        "Prune to the limit",
        "Whole user turns are removed from the old end of each session until it is within its limit. "
        "The conversation itself stays as it is.",
        "pruned",
        lifecycle.prune_session,
    ),
    Verb(
        "expire",
        "Expire now",
        "Each session is removed, as the daily clean-up would remove it. What people wrote stays, and the next message "
        "fills the session again from it.",
        "expired",
        lifecycle.expire_session,
    ),
    Verb(
        "clear",
        "Clear for good",
        "The assistant forgets these conversations for good: nothing said until now will be remembered again. "
        "What people wrote stays on their pages.",
        "cleared",
        lifecycle.clear_session,
        is_grave=True,
    ),
    Verb(
        "hold",
        "Hold",
        "Nothing removes these sessions until they are released: no clean-up, no expiry, no clearing.",
        "held",
        lifecycle.hold_session,
        needs_reason=True,
    ),
    Verb(
        "release",
        "Release",
        "The holds end; clean-ups take these sessions again.",
        "released",
        lifecycle.release_session,
    ),
    Verb(
        "rebuild",
        "Rebuild from the record",
        "Each session is filled again with what the record says that it was given, within its limit.",
        "rebuilt",
        lifecycle.rebuild_session,
    ),
)


class StateFilter(admin.SimpleListFilter):
    """Narrows the list to one state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AgentSession]) -> QuerySet[AgentSession]:
        return queryset.filter(Q(state=self.value())) if self.value() in State.values else queryset


@admin.register(AgentSession)
class AgentSessionAdmin(ReadOnlyAdmin[AgentSession]):
    """Sessions, the most recently used first."""

    list_display = ("title", "person", "state_badge", "items", "size", "pruned", "last_activity_at")
    list_filter = (StateFilter,)
    list_select_related = ("user", "conversation")
    search_fields = ("user__email", "conversation__title", "session_id")
    search_help_text = "E-mail address, title or session id"
    ordering = ("-last_activity_at",)
    fields = (
        "session_id",
        "user",
        "title",
        "state_badge",
        "items",
        "size",
        "pruned",
        "first_activity_at",
        "last_activity_at",
        "gone_at",
        "held_at",
        "held_until",
        "hold_reason",
        "last_error",
    )
    readonly_fields = ("title", "state_badge", "items", "size", "pruned")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentSession]:
        return AgentSession.objects.with_state().order_by(*self.ordering)

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may do more than look."""
        return request.user.has_perm("chat.manage_agentsession")

    def has_view_permission(self, request: HttpRequest, obj: AgentSession | None = None) -> bool:
        """Whoever may look after sessions may see them."""
        return super().has_view_permission(request, obj) or self.has_manage_permission(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Offer the verbs to those who may use them."""
        if not self.has_manage_permission(request):
            return {}
        return {verb.name: (_action(verb), verb.name, verb.label) for verb in VERBS}

    def confirm(self, request: HttpRequest, verb: Verb, chosen: QuerySet[AgentSession]) -> HttpResponse | None:
        """Ask first; then do it to each, and say what came of it."""
        sessions = list(chosen.select_related("user", "conversation")[: AT_ONCE + 1])
        if len(sessions) > AT_ONCE:
            self.message_user(request, f"At most {AT_ONCE} sessions at once.", messages.ERROR)
            return None
        reason = request.POST.get("reason", "").strip()
        if "confirmed" in request.POST and (reason or not verb.needs_reason):
            self._carry_out(request, verb, sessions, reason)
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.label}?",
            "opts": self.opts,
            "media": self.media,
            "verb": verb,
            "sessions": sessions,
            "items": sum(session.item_count for session in sessions),
            "bytes": sum(session.byte_count for session in sessions),
            "lacks_reason": "confirmed" in request.POST,
        }
        return TemplateResponse(request, "admin/chat/agentsession/confirm.html", context)

    def _carry_out(self, request: HttpRequest, verb: Verb, sessions: list[AgentSession], reason: str) -> None:
        assert isinstance(request.user, User)
        done = removed = 0
        for session in sessions:
            try:
                outcome = verb.function(session.session_id, actor=audit.of_user(request.user), reason=reason)
            except ThreadkeeperError as error:
                self.message_user(request, f"{session.session_id}: {error.detail}", messages.ERROR)
            else:
                done += 1
                removed += max(outcome.items_before - outcome.items, 0)
        if done:
            counted = f"{done} session{'' if done == 1 else 's'} {verb.done}"
            gone = f", {removed:,} item{'' if removed == 1 else 's'} removed" if removed else ""
            self.message_user(request, f"{counted}{gone}.", messages.SUCCESS)

    @admin.display(ordering="user__email")
    def person(self, session: AgentSession) -> str:
        return session.user.email

    @admin.display(description="conversation", ordering="conversation__title")
    def title(self, session: AgentSession) -> str:
        return str(session.conversation)

    @admin.display(description="state", ordering="state")
    def state_badge(self, session: AgentSession) -> SafeString:
        state = State(session.state)  # type: ignore[attr-defined]  # annotated
        return badge(state.value, str(state.label))

    @admin.display(ordering="item_count")
    def items(self, session: AgentSession) -> int:
        return session.item_count

    @admin.display(ordering="pruned_count")
    def pruned(self, session: AgentSession) -> int:
        return session.pruned_count

    @admin.display(ordering="byte_count")
    def size(self, session: AgentSession) -> str:
        return size(session.byte_count)


def _action(verb: Verb) -> Callable[[AgentSessionAdmin, HttpRequest, QuerySet[AgentSession]], HttpResponse | None]:
    def act(
        model_admin: AgentSessionAdmin, request: HttpRequest, chosen: QuerySet[AgentSession]
    ) -> HttpResponse | None:
        return model_admin.confirm(request, verb, chosen)

    return act
