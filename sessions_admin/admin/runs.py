"""Clean-ups: what each did, and the buttons that ask for one."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from chat.models import User
from sessions_admin import schedules
from sessions_admin.admin.shown import ReadOnlyAdmin, badge, size
from sessions_admin.cleanup import forecast
from sessions_admin.listing import cleaned_page
from sessions_admin.models import CleanupRun, RunStatus

DETAIL = "admin:sessions_admin_cleanuprun_change"
RUN, PREVIEW = "sessions_admin_cleanuprun_run", "sessions_admin_cleanuprun_preview"


@admin.register(CleanupRun)
class CleanupRunAdmin(ReadOnlyAdmin[CleanupRun]):
    """Runs, the newest first."""

    list_display = ("created_at", "kind", "status_badge", "trigger", "actor", "sessions", "items", "size")
    list_filter = ("status", "trigger", "dry_run")
    list_select_related = ("actor",)
    fields = (
        "kind",
        "status_badge",
        "error",
        "trigger",
        "actor",
        "cutoff",
        "examined",
        "sessions",
        "items",
        "size",
        "created_at",
        "started_at",
        "ended_at",
        "took",
    )
    readonly_fields = ("kind", "status_badge", "sessions", "items", "size", "took")

    # What is shown.

    @admin.display(ordering="dry_run")
    def kind(self, run: CleanupRun) -> str:
        return "Preview" if run.dry_run else "Clean-up"

    @admin.display(description="status", ordering="status")
    def status_badge(self, run: CleanupRun) -> SafeString:
        status = RunStatus(run.status)
        return badge(status.value, str(status.label))

    @admin.display(ordering="removed_sessions")
    def sessions(self, run: CleanupRun) -> int:
        return run.removed_sessions

    @admin.display(ordering="removed_items")
    def items(self, run: CleanupRun) -> int:
        return run.removed_items

    @admin.display(ordering="removed_bytes")
    def size(self, run: CleanupRun) -> str:
        return size(run.removed_bytes)

    def took(self, run: CleanupRun) -> str:
        return f"{run.duration.total_seconds():.1f} s" if run.duration else "-"

    # Who may.

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may run and preview clean-ups."""
        return request.user.has_perm("sessions_admin.run_cleanup")

    def has_view_permission(self, request: HttpRequest, obj: CleanupRun | None = None) -> bool:
        """Whoever may run one may read what it did."""
        return super().has_view_permission(request, obj) or self.has_run_permission(request)

    # Pages.

    def get_urls(self) -> list[URLPattern]:
        """Add the two pages that ask before they do."""
        return [
            path("run/", self.admin_site.admin_view(self._asking(dry_run=False)), name=RUN),
            path("preview/", self.admin_site.admin_view(self._asking(dry_run=True)), name=PREVIEW),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the buttons to those who may use them."""
        may_run = {"has_run_permission": self.has_run_permission(request)}
        return super().changelist_view(request, {**(extra_context or {}), **may_run})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a run with the sessions it removed, a page at a time."""
        sessions = cleaned_page(object_id, request.GET.get("page"))
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "sessions": sessions})

    def _asking(self, *, dry_run: bool) -> Callable[[HttpRequest], HttpResponse]:
        def ask(request: HttpRequest) -> HttpResponse:
            if not self.has_run_permission(request):
                raise PermissionDenied
            if request.method == "POST":
                return self._request(request, dry_run=dry_run)
            return self._confirmation(request, dry_run=dry_run)

        return ask

    def _request(self, request: HttpRequest, *, dry_run: bool) -> HttpResponse:
        assert isinstance(request.user, User)
        run = schedules.request_cleanup(actor=request.user, dry_run=dry_run)
        what = "preview" if dry_run else "clean-up"
        self.message_user(request, f"The {what} will be done by the worker.", messages.SUCCESS)
        return redirect(DETAIL, run.pk)

    def _confirmation(self, request: HttpRequest, *, dry_run: bool) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Preview a clean-up" if dry_run else "Run a clean-up now",
            "opts": self.opts,
            "media": self.media,
            "dry_run": dry_run,
            "forecast": forecast(),
        }
        return TemplateResponse(request, "admin/sessions_admin/cleanuprun/confirm.html", context)
