from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class SessionsAdminConfig(AppConfig):
    name = "sessions_admin"
    verbose_name = "Session management"
    default = True


class StaffAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the staff site."""

    default = False
    default_site = "sessions_admin.site.StaffSite"
