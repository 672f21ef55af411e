"""Permanent deletions whose data may still be readable in the session file."""

from django.db import models


class PendingDeletion(models.Model):
    """A deletion whose bytes may still be in the session file's log, or in a session file that was set aside.

    Written with the deletion, and removed when nothing is readable any more. `terms` are the texts to search for in
    files that were set aside: a session's id, or a user's. One that a report waits for is removed with the report.
    """

    terms = models.JSONField(default=list)
    report = models.BigIntegerField(null=True, help_text="The audit record of an erasure that waits for this.")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"deletion of {self.created_at:%Y-%m-%d %H:%M:%S}"
