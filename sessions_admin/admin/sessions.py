"""Agent sessions in the admin: staff view them, and change them by confirmed verbs."""

import uuid
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chat.exceptions import BadInput
from chat.models import AgentSession
from chat.models.session import QUARANTINED, State
from sessions_admin.admin.base import actor_of, badge, size
from sessions_admin.admin.session_filters import ActivityFilter, HoldFilter, OwnerFilter, SizeFilter, StateFilter
from sessions_admin.admin.session_verbs import SessionVerbs
from sessions_admin.permissions import READ, SEE_SESSIONS
from sessions_admin.sessions.inspection import inspect

INSPECT = "chat_agentsession_inspect"
ERROR_TEXTS = {
    QUARANTINED: "Some rows are invalid and in quarantine. The next turn or a rebuild repairs the session.",
    "context_unavailable": "The session store was unavailable during the last turn, which continued without context.",
}


@admin.register(AgentSession)
class AgentSessionAdmin(SessionVerbs):
    """Sessions, the most recently used first."""

    list_display = ("title", "person", "state_badge", "items", "size", "pruned", "last_activity_at")
    list_filter = (StateFilter, OwnerFilter, ActivityFilter, SizeFilter, HoldFilter)
    list_select_related = ("user", "conversation")
    date_hierarchy = "last_activity_at"
    search_fields = ("user__email",)
    search_help_text = (
        "Part of an e-mail address (or of a title, if you may inspect sessions), or the full id of a session, "
        "conversation or person"
    )
    ordering = ("-last_activity_at",)
    fields = (
        *("session_id", "owner", "title", "state_badge", "items", "size", "pruned", "first_activity_at"),
        *("last_activity_at", "gone_at", "held_at", "held_until", "hold_reason", "trouble"),
    )
    readonly_fields = ("owner", "title", "state_badge", "items", "size", "pruned", "trouble")

    # A title contains the first words of a user's message.

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return ("title" if _may_see_titles(request) else "session", *self.list_display[1:])

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (*self.search_fields, *(("conversation__title",) if _may_see_titles(request) else ()))

    def get_fields(self, request: HttpRequest, obj: AgentSession | None = None) -> tuple[str, ...]:
        return tuple(name for name in self.fields if name != "title" or _may_see_titles(request))

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentSession]:
        return AgentSession.objects.with_state().order_by(*self.ordering)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AgentSession], search_term: str
    ) -> tuple[QuerySet[AgentSession], bool]:
        """Find an id through an index; search other words in addresses and titles."""
        term = search_term.strip()
        if term.startswith("user_") and "_conv_" in term:
            return queryset.filter(session_id=term), False
        try:
            wanted = uuid.UUID(term)
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(Q(conversation=wanted) | Q(user=wanted)), False

    # Permissions.

    def has_view_permission(self, request: HttpRequest, obj: AgentSession | None = None) -> bool:
        """Staff who may manage or inspect sessions may view them."""
        return any(map(request.user.has_perm, SEE_SESSIONS))

    # Pages.

    def get_urls(self) -> list[URLPattern]:
        """Add the page that asks for a reason, and then shows the items of a session."""
        return [
            path("<int:pk>/inspect/", self.admin_site.admin_view(self.inspect_view), name=INSPECT),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the verbs on a session's page, too."""
        offered = {"verbs": self.verbs_for(request), "may_inspect": request.user.has_perm(READ)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **offered})

    def inspect_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for a reason, then show the session. Its content is in no URL and in no cache."""
        if not request.user.has_perm(READ):
            raise PermissionDenied
        session = AgentSession.objects.select_related("user", "conversation").filter(pk=pk).first()
        if session is None:
            raise Http404
        folder, reason, problem = "admin/chat/agentsession", request.POST.get("reason", ""), ""
        context: dict[str, Any] = {"session": session, "reason": reason}
        if request.method == "POST":
            try:
                inspection = inspect(session.session_id, actor=actor_of(request), reason=reason)
            except BadInput as error:
                problem = error.detail
            else:
                title = f"Inspect “{inspection.title}”"
                context["inspection"] = inspection
                return self.render_page(request, f"{folder}/inspection.html", title, **context)
        title = "Inspect this session?"
        return self.render_page(request, f"{folder}/inspection_reason.html", title, problem=problem, **context)

    # Columns.

    @admin.display(ordering="user__email")
    def person(self, session: AgentSession) -> str:
        return session.user.email

    @admin.display(description="person")
    def owner(self, session: AgentSession) -> SafeString:
        sessions = reverse("admin:chat_agentsession_changelist", query={"user__id__exact": str(session.user_id)})
        return format_html('<a href="{}" title="All their sessions">{}</a>', sessions, session.user.email)

    @admin.display(description="conversation", ordering="conversation__title")
    def title(self, session: AgentSession) -> str:
        return str(session.conversation)

    @admin.display(ordering="session_id")
    def session(self, session: AgentSession) -> SafeString:
        return format_html('<code title="{}">…{}</code>', session.session_id, session.session_id[-12:])

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

    @admin.display(description="problem")
    def trouble(self, session: AgentSession) -> str:
        return ERROR_TEXTS.get(session.last_error, session.last_error)


def _may_see_titles(request: HttpRequest) -> bool:
    return request.user.has_perm(READ)
