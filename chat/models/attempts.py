"""Counts of attempts."""

from django.db import models


class AttemptCount(models.Model):
    """A count of attempts within a window of time (chat.accounts.limits).

    The key is a keyed hash, so that no e-mail address or client address is stored.
    """

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
