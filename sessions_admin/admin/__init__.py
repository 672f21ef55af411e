"""The admin pages of sessions_admin."""

from django.contrib import admin

from sessions_admin.admin import audit, people, quarantine, queue, runs, sessions, sign_ins, tokens, usage

__all__ = ["audit", "people", "quarantine", "queue", "runs", "sessions", "sign_ins", "tokens", "usage"]

admin.site.site_header = "Threadkeeper"
admin.site.site_title = "Threadkeeper"
admin.site.index_title = "Administration"
