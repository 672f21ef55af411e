"""The built-in model: it understands ordinary English about tasks, is stateless, and needs no network."""

from chat.assistant.offline.model import OfflineModel

__all__ = ["OfflineModel"]
