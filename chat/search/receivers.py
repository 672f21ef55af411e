"""Index rows written through the ORM, and existing rows after a migration."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save

from chat.search.index import index_message, index_missing, index_title


def connect(config: AppConfig) -> None:
    """Connect the receivers once the models are loaded."""
    post_save.connect(_index_message, sender=config.get_model("Message"), dispatch_uid="search")
    post_save.connect(_index_title, sender=config.get_model("Conversation"), dispatch_uid="search")
    post_migrate.connect(_index_missing, sender=config, dispatch_uid="search")


def _index_message(instance: Any, created: bool, update_fields: frozenset[str] | None, **_: object) -> None:
    is_written = created or update_fields is None or "text" in update_fields
    if is_written and instance.position is not None:
        index_message(
            message_id=instance.pk,
            conversation_id=instance.conversation_id,
            user_id=instance.conversation.user_id,
            text=instance.text,
            created_at=instance.created_at,
        )


def _index_title(instance: Any, update_fields: frozenset[str] | None, **_: object) -> None:
    if update_fields is None or "title" in update_fields:
        index_title(conversation_id=instance.pk, user_id=instance.user_id, title=instance.title)


def _index_missing(apps: Any = None, **_: object) -> None:
    # Without the models' state the tables were only emptied; in a state before the index there is none to fill.
    if apps is not None and "messagevector" in apps.all_models["chat"]:
        index_missing()
