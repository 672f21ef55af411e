"""Clean-ups in the admin: their progress and reports, and the buttons to start and stop one."""

import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import SafeString

from chat.conversations import listing
from chat.exceptions import ThreadkeeperError
from sessions_admin import clock, schedules
from sessions_admin.admin.base import ReadOnlyAdmin, actor_of, badge, size, staff_of
from sessions_admin.models import CleanupRun, RunStatus
from sessions_admin.permissions import RUN as MAY_RUN
from sessions_admin.permissions import SEE_CLEANUPS
from sessions_admin.retention import runs
from sessions_admin.retention.cleanup import forecast
from sessions_admin.retention.conversations import forecast_conversations
from sessions_admin.retention.run_results import conversations_page, people_page, sessions_page

LIST = "admin:sessions_admin_cleanuprun_changelist"
DETAIL = "admin:sessions_admin_cleanuprun_change"
RUN, PREVIEW = "sessions_admin_cleanuprun_run", "sessions_admin_cleanuprun_preview"
CONFIRM_CLOCK = "sessions_admin_cleanuprun_confirm_clock"
STOP, PROGRESS = "sessions_admin_cleanuprun_stop", "sessions_admin_cleanuprun_progress"
TEMPLATES = "admin/sessions_admin/cleanuprun"


@admin.register(CleanupRun)
class CleanupRunAdmin(ReadOnlyAdmin[CleanupRun]):
    """Runs, the newest first."""

    list_display = ("created_at", "kind", "status_badge", "trigger", "actor", "sessions", "items", "size", "took")
    list_filter = ("status", "trigger", "dry_run")
    list_select_related = ("actor",)
    date_hierarchy = "created_at"
    fields = ("kind", "trigger", "actor", "cutoff", "created_at", "started_at", "ended_at", "took", "stopped_by")
    readonly_fields = ("kind", "took")

    # Columns.

    @admin.display(ordering="dry_run")
    def kind(self, run: CleanupRun) -> str:
        return "Preview" if run.dry_run else "Clean-up"

    @admin.display(description="status", ordering="status")
    def status_badge(self, run: CleanupRun) -> SafeString:
        status = RunStatus(run.status)
        return badge(status.value, str(status.label))

    @admin.display(ordering="removed_sessions")
    def sessions(self, run: CleanupRun) -> str:
        return f"{run.removed_sessions:,}"

    @admin.display(ordering="removed_items")
    def items(self, run: CleanupRun) -> str:
        return f"{run.removed_items:,}"

    @admin.display(ordering="removed_bytes")
    def size(self, run: CleanupRun) -> str:
        return size(run.removed_bytes)

    def took(self, run: CleanupRun) -> str:
        return f"{run.duration.total_seconds():.1f} s" if run.duration else "-"

    # Permissions.

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may run, preview and stop clean-ups."""
        return request.user.has_perm(MAY_RUN)

    def has_view_permission(self, request: HttpRequest, obj: CleanupRun | None = None) -> bool:
        """Staff who may run a clean-up may also read its report."""
        return any(map(request.user.has_perm, SEE_CLEANUPS))

    # Pages.

    def get_urls(self) -> list[URLPattern]:
        """Add the confirmation pages, the stop button's view, and the polled progress of a run."""
        view = self.admin_site.admin_view
        return [
            path("run/", view(self._run_view(dry_run=False)), name=RUN),
            path("preview/", view(self._run_view(dry_run=True)), name=PREVIEW),
            path("confirm-clock/", view(self._confirm_clock), name=CONFIRM_CLOCK),
            path("<uuid:run_id>/stop/", view(self._stop), name=STOP),
            path("<uuid:run_id>/progress/", view(self._progress), name=PROGRESS),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the buttons that the user may use."""
        context = {
            "has_run_permission": self.has_run_permission(request),
            "details_days": settings.CLEANUP_DETAILS_DAYS,
            "runs_days": settings.CLEANUP_RUNS_DAYS,
        }
        return super().changelist_view(request, {**(extra_context or {}), **context})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a run: its progress, its log, the number of sessions per user, and the sessions."""
        run = self.get_object(request, object_id)
        if run is not None:
            context = {
                **self._progress_context(request, run),
                "people": people_page(run, request.GET.get("people")),
                "sessions": sessions_page(run.pk, request.GET.get("page")),
                "conversations": conversations_page(run.pk, request.GET.get("conversations")),
                "sample": runs.SAMPLE,
                "details_days": settings.CLEANUP_DETAILS_DAYS,
                "may_open_sessions": request.user.has_perm("chat.view_agentsession"),
            }
            extra_context = {**(extra_context or {}), **context}
        return super().change_view(request, object_id, form_url, extra_context)

    def _progress_context(self, request: HttpRequest, run: CleanupRun) -> dict[str, Any]:
        """Return the context of the part of the page that changes during a run."""
        return {
            "run": run,
            "status_badge": self.status_badge(run),
            "examined": f"{run.examined:,} of {run.total or 0:,}",
            "figures": _format_figures(run),
            "log": runs.log_of(run),
            "may_stop": run.status in (RunStatus.QUEUED, RunStatus.RUNNING) and self.has_run_permission(request),
            "lacks_worker": run.status == RunStatus.QUEUED and not schedules.has_worker(),
        }

    def _progress(self, request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
        run = self.get_object(request, str(run_id))
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        if run is None:
            raise Http404
        response = TemplateResponse(request, f"{TEMPLATES}/_progress.html", self._progress_context(request, run))
        add_never_cache_headers(response)
        return response

    def _stop(self, request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
        if not self.has_run_permission(request):
            raise PermissionDenied
        if request.method != "POST":  # redirected here after signing in
            return redirect(DETAIL, run_id)
        try:
            status = runs.stop(run_id, actor=staff_of(request))
        except ThreadkeeperError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            at_once = status == RunStatus.STOPPED
            message = "The run has stopped." if at_once else "The run stops after the current batch."
            self.message_user(request, message, messages.SUCCESS)
        return redirect(DETAIL, run_id)

    def _confirm_clock(self, request: HttpRequest) -> HttpResponse:
        if not self.has_run_permission(request):
            raise PermissionDenied
        if request.method != "POST":  # redirected here after signing in
            return redirect("admin:index")
        clock.confirm(actor=actor_of(request))
        sentence = "The clock is confirmed. The next clean-up removes the sessions that are due."
        self.message_user(request, sentence, messages.SUCCESS)
        return redirect("admin:index")

    def _run_view(self, *, dry_run: bool) -> Callable[[HttpRequest], HttpResponse]:
        def ask(request: HttpRequest) -> HttpResponse:
            if not self.has_run_permission(request):
                raise PermissionDenied
            if request.method == "POST":
                return self._request(request, dry_run=dry_run)
            return self._confirmation(request, dry_run=dry_run)

        return ask

    def _request(self, request: HttpRequest, *, dry_run: bool) -> HttpResponse:
        try:
            run = schedules.request_cleanup(actor=staff_of(request), dry_run=dry_run)
        except ThreadkeeperError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return redirect(LIST)
        what = "preview" if dry_run else "clean-up"
        self.message_user(request, f"The worker will run the {what}.", messages.SUCCESS)
        return redirect(DETAIL, run.pk)

    def _confirmation(self, request: HttpRequest, *, dry_run: bool) -> HttpResponse:
        title = "Preview a clean-up" if dry_run else "Run a clean-up now"
        forecasts = {
            "forecast": forecast(),
            "conversations": forecast_conversations(),
            "retention": listing.retention_periods(),
        }
        return self.render_page(request, f"{TEMPLATES}/confirm.html", title, dry_run=dry_run, **forecasts)


def _format_figures(run: CleanupRun) -> list[tuple[str, str]]:
    """Return the results of a run so far, with labels."""
    figures = [
        ("Sessions", f"{run.removed_sessions:,}"),
        ("Items", f"{run.removed_items:,}"),
        ("Memory", size(run.removed_bytes)),
    ]
    if not run.dry_run:
        figures.append(("Disk space freed", size(run.freed_bytes)))
    if run.trashed_conversations or run.purged_conversations:
        figures.append(("Conversations moved to the trash", f"{run.trashed_conversations:,}"))
        figures.append(("Conversations permanently deleted", f"{run.purged_conversations:,}"))
    return figures
