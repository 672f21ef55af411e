"""Clean-ups: what each did and does, and the buttons that ask for one and stop it."""

import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import SafeString

from chat.conversations import listing
from chat.exceptions import ThreadkeeperError
from chat.models import User
from sessions_admin import audit, clock, schedules
from sessions_admin.admin.base import ReadOnlyAdmin, badge, size
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

    # What is shown.

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

    # Who may.

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Return whether a user may run, preview and stop clean-ups."""
        return request.user.has_perm(MAY_RUN)

    def has_view_permission(self, request: HttpRequest, obj: CleanupRun | None = None) -> bool:
        """Staff who may run one may read its report."""
        return any(map(request.user.has_perm, SEE_CLEANUPS))

    # Pages.

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that ask before they do, the button that stops, and what a run's page asks for meanwhile."""
        view = self.admin_site.admin_view
        return [
            path("run/", view(self._asking(dry_run=False)), name=RUN),
            path("preview/", view(self._asking(dry_run=True)), name=PREVIEW),
            path("confirm-clock/", view(self._confirm_clock), name=CONFIRM_CLOCK),
            path("<uuid:run_id>/stop/", view(self._stop), name=STOP),
            path("<uuid:run_id>/progress/", view(self._progress), name=PROGRESS),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the buttons to those who may use them."""
        shown = {
            "has_run_permission": self.has_run_permission(request),
            "details_days": settings.CLEANUP_DETAILS_DAYS,
            "runs_days": settings.CLEANUP_RUNS_DAYS,
        }
        return super().changelist_view(request, {**(extra_context or {}), **shown})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a run: its progress, its log, the number of sessions per user, and the sessions."""
        run = self.get_object(request, object_id)
        if run is not None:
            shown = {
                **self._told(request, run),
                "people": people_page(run, request.GET.get("people")),
                "sessions": sessions_page(run.pk, request.GET.get("page")),
                "conversations": conversations_page(run.pk, request.GET.get("conversations")),
                "sample": runs.SAMPLE,
                "details_days": settings.CLEANUP_DETAILS_DAYS,
                "may_open_sessions": request.user.has_perm("chat.view_agentsession"),
            }
            extra_context = {**(extra_context or {}), **shown}
        return super().change_view(request, object_id, form_url, extra_context)

    def _told(self, request: HttpRequest, run: CleanupRun) -> dict[str, Any]:
        """Return what the part of the page needs that changes while a run is under way."""
        return {
            "run": run,
            "status_badge": self.status_badge(run),
            "looked_at": f"{run.examined:,} of {run.total or 0:,}",
            "figures": _figures(run),
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
        response = TemplateResponse(request, f"{TEMPLATES}/_progress.html", self._told(request, run))
        add_never_cache_headers(response)
        return response

    def _stop(self, request: HttpRequest, run_id: uuid.UUID) -> HttpResponse:
        if not self.has_run_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        assert isinstance(request.user, User)
        try:
            status = runs.stop(run_id, actor=request.user)
        except ThreadkeeperError as error:
            self.message_user(request, error.detail, messages.ERROR)
        else:
            at_once = status == RunStatus.STOPPED
            told = "The run has stopped." if at_once else "The run stops after the current batch."
            self.message_user(request, told, messages.SUCCESS)
        return redirect(DETAIL, run_id)

    def _confirm_clock(self, request: HttpRequest) -> HttpResponse:
        if not self.has_run_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        assert isinstance(request.user, User)
        clock.confirm(actor=audit.of_user(request.user))
        self.message_user(
            request, "The clock is confirmed. The next clean-up removes the sessions that are due.", messages.SUCCESS
        )
        return redirect("admin:index")

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
        try:
            run = schedules.request_cleanup(actor=request.user, dry_run=dry_run)
        except ThreadkeeperError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return redirect(LIST)
        what = "preview" if dry_run else "clean-up"
        self.message_user(request, f"The worker will run the {what}.", messages.SUCCESS)
        return redirect(DETAIL, run.pk)

    def _confirmation(self, request: HttpRequest, *, dry_run: bool) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Preview a clean-up" if dry_run else "Run a clean-up now",
            "opts": self.opts,
            "media": self.media,
            "dry_run": dry_run,
            "forecast": forecast(),
            "conversations": forecast_conversations(),
            "terms": listing.terms(),
        }
        return TemplateResponse(request, f"{TEMPLATES}/confirm.html", context)


def _figures(run: CleanupRun) -> list[tuple[str, str]]:
    """Return what a run has done so far, by name."""
    found = [
        ("Sessions", f"{run.removed_sessions:,}"),
        ("Items", f"{run.removed_items:,}"),
        ("Memory", size(run.removed_bytes)),
    ]
    if not run.dry_run:
        found.append(("Disk space freed", size(run.freed_bytes)))
    if run.trashed_conversations or run.purged_conversations:
        found.append(("Conversations moved to the trash", f"{run.trashed_conversations:,}"))
        found.append(("Conversations permanently deleted", f"{run.purged_conversations:,}"))
    return found
