"""What the assistant remembers of each conversation: to look at, not to edit."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from chat.models import AgentSession
from chat.models.session import State
from sessions_admin.admin.shown import ReadOnlyAdmin, badge, size


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
        "last_error",
    )
    readonly_fields = ("title", "state_badge", "items", "size", "pruned")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentSession]:
        return AgentSession.objects.with_state().order_by(*self.ordering)

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
