"""The audit in the admin: read-only, for staff with the permission."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions_admin import audit
from sessions_admin.admin.lists import GivenFilter, LongListAdmin
from sessions_admin.admin.streams import attachment
from sessions_admin.models import AuditRecord
from sessions_admin.site import GuardedChangeList

EXPORT = "sessions_admin_auditrecord_export"
KINDS = {"csv": (audit.as_csv, "text/csv"), "json": (audit.as_json, "application/json")}
Records = QuerySet[AuditRecord]
# What a record of an action with several reports, by a key of its result; the others report that it is done.
STAGES = {"began": "Begun", "finishes": "Completed", "run_id": "Requested"}


class ActorFilter(admin.SimpleListFilter):
    """Filters by the acting member of staff, or by commands."""

    title = "actor"
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        given = request.GET.get("actor", "")
        named = audit.staff_emails()
        known = {"os": "Commands", **named}
        return list((known if given in ("", *known) else known | {given: given}).items())

    def queryset(self, request: HttpRequest, queryset: Records) -> Records:
        value = self.value()
        if value == "os":
            return queryset.filter(actor__startswith="os:")
        return queryset.filter(actor=value) if value else queryset


class PersonFilter(GivenFilter):
    """Filters by the user whom a record is about."""

    title = "person"
    parameter_name = "person"

    def label_of(self, value: str) -> str:
        return audit.emails_by_id([value]).get(value, value)


class SessionFilter(GivenFilter):
    """Filters by session."""

    title = "session"
    parameter_name = "session_id"


class NamingChangeList(GuardedChangeList):
    """Looks up the names on a page in one query."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        records: list[AuditRecord] = list(self.result_list)
        names = audit.emails_by_id([each for record in records for each in (record.actor, record.person)])
        for record in records:
            record.names = names  # type: ignore[attr-defined]
        self.result_list = records


@admin.register(AuditRecord)
class AuditRecordAdmin(LongListAdmin[AuditRecord]):
    """Audit records, the newest first."""

    list_display = ("at", "action", "outcome", "who", "whom", "session", "reason")
    list_filter = ("action", ActorFilter, PersonFilter, SessionFilter)
    date_hierarchy = "at"
    search_fields = ("=session_id", "=actor", "=person")
    search_help_text = "A full e-mail address, or the full id of a session or person"
    fields = ("at", "action", "who", "whom", "session", "reason", "result")
    readonly_fields = ("who", "whom", "session")
    change_list_template = "admin/sessions_admin/auditrecord/change_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NamingChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Add the retention period of the list."""
        return super().changelist_view(request, {**(extra_context or {}), "audit_days": settings.AUDIT_DAYS})

    def get_search_results(self, request: HttpRequest, queryset: Records, search_term: str) -> tuple[Records, bool]:
        """Find a user by their current e-mail address: the audit stores ids only."""
        if "@" not in search_term:
            return super().get_search_results(request, queryset, search_term)
        found = audit.id_by_email(search_term)
        return (queryset.filter(Q(actor=found) | Q(person=found)) if found else queryset.none()), False

    # Export.

    def get_urls(self) -> list[URLPattern]:
        """Add the exports of the filtered list."""
        return [
            path("export/<slug:kind>/", self.admin_site.admin_view(self.export_view), name=EXPORT),
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest, kind: str) -> HttpResponseBase:
        """Send the records of the filtered list."""
        if not self.has_view_permission(request) or kind not in KINDS:
            raise PermissionDenied
        try:
            records: Records = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters as error:
            raise BadRequest from error
        write, content_type = KINDS[kind]
        name = f"audit-{timezone.now():%Y-%m-%d}.{kind}"
        return attachment(request, write(audit.iterate(records)), name=name, kind=content_type)

    # Columns.

    @admin.display(description="result")
    def outcome(self, record: AuditRecord) -> str:
        if failure := record.result.get("failed"):
            return f"Not done: {failure}"
        return next((name for key, name in STAGES.items() if key in record.result), "Done")

    @admin.display(description="actor", ordering="actor")
    def who(self, record: AuditRecord) -> str:
        return _email_or_id(record, record.actor)

    @admin.display(description="person", ordering="person")
    def whom(self, record: AuditRecord) -> SafeString | str:
        if not record.person:
            return ""
        theirs = reverse("admin:sessions_admin_auditrecord_changelist", query={"person": record.person})
        return format_html('<a href="{}">{}</a>', theirs, _email_or_id(record, record.person))

    @admin.display(ordering="session_id")
    def session(self, record: AuditRecord) -> SafeString | str:
        if not record.session_id:
            return ""
        sessions = reverse("admin:chat_agentsession_changelist", query={"q": record.session_id})
        shown = f"…{record.session_id[-12:]}"
        return format_html('<a href="{}" title="{}"><code>{}</code></a>', sessions, record.session_id, shown)


def _email_or_id(record: AuditRecord, who: str) -> str:
    names: dict[str, str] = getattr(record, "names", None) or audit.emails_by_id([record.actor, record.person])
    return names.get(who, who)
