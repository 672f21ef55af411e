"""The built-in model: understands ordinary English about tasks, keeps no state, and needs no network."""

from chat.assistant.offline.model import OfflineModel

__all__ = ["OfflineModel"]
