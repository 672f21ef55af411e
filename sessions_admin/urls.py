"""URLs of the pages about a user's own data."""

from django.urls import path

from sessions_admin import views

urlpatterns = [
    path("settings/data/", views.data, name="data"),
    path("settings/data/export/", views.export, name="data_export"),
    path("settings/data/delete/", views.delete_account, name="account_delete"),
]
