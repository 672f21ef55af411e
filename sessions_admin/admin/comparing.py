"""The page on which staff have the stores compared, read what differs, and have it repaired."""

from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from chat.models import User
from sessions_admin.audit import REASON_LENGTH
from sessions_admin.health import NO_WORKER, health
from sessions_admin.stores.comparisons import comparison, request_comparison


def compare_stores(request: HttpRequest) -> HttpResponse:
    """Ask for a comparison or a repair, and show what came of the last one."""
    if not request.user.has_perm("chat.manage_agentsession"):
        raise PermissionDenied
    assert isinstance(request.user, User)
    repair, reason = "repair" in request.POST, request.POST.get("reason", "").strip()
    if request.method == "POST" and (reason or not repair):
        task = request_comparison(actor=request.user, repair=repair, reason=reason)
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
