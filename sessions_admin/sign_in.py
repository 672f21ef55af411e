"""Sign-in to the admin, on the same page as for all users."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache


@never_cache
def sign_in_to_admin(request: HttpRequest) -> HttpResponse:
    """Redirect staff to the page, refuse other signed-in users, and redirect the rest to the sign-in page."""
    wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
    is_ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    next_page = wanted if is_ours else reverse("admin:index")
    if admin.site.has_permission(request):
        return HttpResponseRedirect(next_page)
    if request.user.is_authenticated:
        return render(request, "not_staff.html", status=403)
    return redirect_to_login(next_page, resolve_url(settings.LOGIN_URL))
