"""The search index, derived from messages and titles by `chat.search.index`; it can be rebuilt at any time."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from chat.models.conversation import Conversation, Message


class MessageVector(models.Model):
    """The words of a message. PostgreSQL deletes it with the message.

    A separate table, so that reading messages does not read vectors, and moving messages does not write the index.
    """

    message = models.OneToOneField(Message, models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False)
    conversation = models.ForeignKey(
        Conversation, models.DO_NOTHING, related_name="+", db_constraint=False, db_index=False
    )
    created_at = models.DateTimeField(help_text="The message's.")
    vector = SearchVectorField()

    class Meta:
        indexes = [
            GinIndex(fields=["vector"], name="message_vector", fastupdate=False),
            models.Index(fields=["conversation", "-created_at"], name="message_vector_newest"),
        ]

    def __str__(self) -> str:
        return f"words of {self.message_id}"


class TitleVector(models.Model):
    """The words of a conversation's title. PostgreSQL deletes it with the conversation."""

    conversation = models.OneToOneField(
        Conversation, models.DO_NOTHING, primary_key=True, related_name="+", db_constraint=False
    )
    vector = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["vector"], name="title_vector", fastupdate=False)]

    def __str__(self) -> str:
        return f"words of {self.conversation_id}"
