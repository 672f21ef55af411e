"""The URLs of the site."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from config.api import api, unknown
from sessions_admin.admin.comparing import compare_stores
from sessions_admin.sign_in import sign_in_to_admin

handler500 = "config.error_views.server_error"

urlpatterns = [
    # Browsers request this path for pages that name no icon.
    path("favicon.ico", RedirectView.as_view(url=static("img/favicon.svg"))),
    path("admin/compare/", admin.site.admin_view(compare_stores), name="compare_stores"),
    # Before the admin's own views, which would check passwords themselves.
    path("admin/login/", sign_in_to_admin),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password_change")),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    re_path("^api/", unknown),
    path("", include("sessions_admin.urls")),
    path("", include("chat.web.urls")),
]
