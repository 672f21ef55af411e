"""Where pages are."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from config.api import api, unknown
from sessions_admin.admin.comparing import compare_stores

urlpatterns = [
    # Where browsers look on pages that name no icon.
    path("favicon.ico", RedirectView.as_view(url=static("img/favicon.svg"))),
    path("admin/compare/", admin.site.admin_view(compare_stores), name="compare_stores"),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    re_path("^api/", unknown),
    path("", include("sessions_admin.urls")),
    path("", include("chat.urls")),
]
