"""The page on which staff compare and repair the stores."""

from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from sessions_admin.admin.base import staff_of
from sessions_admin.audit import REASON_LENGTH
from sessions_admin.health import NO_WORKER, health
from sessions_admin.stores.comparisons import comparison, request_comparison


def compare_stores(request: HttpRequest) -> HttpResponse:
    """Request a comparison or a repair, and show the last report."""
    if not request.user.has_perm("chat.manage_agentsession"):
        raise PermissionDenied
    repair, reason = "repair" in request.POST, request.POST.get("reason", "").strip()
    if request.method == "POST" and (reason or not repair):
        task = request_comparison(actor=staff_of(request), repair=repair, reason=reason)
        return redirect(f"{reverse('compare_stores')}?{urlencode({'task': task})}")
    task = request.GET.get("task", "")
    found = comparison(task) if task else None
    context = {
        **admin.site.each_context(request),
        "title": "Compare the stores",
        "task": task,
        "comparison": found,
        "lacks_reason": repair and not reason,
        "reason_length": REASON_LENGTH,
        "no_worker": NO_WORKER if found and found.is_pending and not health().worker else "",
    }
    return TemplateResponse(request, "admin/compare.html", context)
