"""Requests with an idempotency key that have created an object."""

from django.db import models


class IdempotentRequest(models.Model):
    """A request that has created an object, stored as long as its key is valid (chat.api.idempotency).

    `key` and `body` are keyed hashes, so that nothing of the request is stored.
    """

    key = models.CharField(max_length=64, primary_key=True)
    body = models.CharField(max_length=64)
    created_id = models.UUIDField(null=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
