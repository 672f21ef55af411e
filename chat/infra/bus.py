"""Carry notifications between server processes. They may be lost.

Within a process, notifications pass through the channel layer alone; with REDIS_URL this adds the other processes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.conf import settings

# The client of Redis takes a third of a second to import: only where there is one.
if TYPE_CHECKING:
    from chat.infra.redis_bus import Bus

_bus: "Bus | None" = None
_on_connect: list[Callable[[], None]] = []


def on_connect(call: Callable[[], None]) -> None:
    """Call a function after each connection: notifications before it may have been lost."""
    _on_connect.append(call)


def start() -> None:
    """Connect this server process to the others, if there may be any."""
    global _bus  # one a process, as long as the process
    if settings.REDIS_URL:
        from chat.infra.redis_bus import Bus

        _bus = Bus(_connected)


def _connected() -> None:
    for call in _on_connect:
        call()


async def stop() -> None:
    """Disconnect this process."""
    global _bus  # one a process, as long as the process
    if _bus is not None:
        await _bus.stop()
        _bus = None


def is_connected() -> bool:
    """Return whether notifications of other processes arrive here at present."""
    return _bus is not None and _bus.is_connected


def post(group: str, notice: dict[str, str]) -> None:
    """Send a notification to a group in the other server processes, from the event loop of a server."""
    if _bus is not None:
        _bus.send(group, notice)


async def send(group: str, notice: dict[str, str]) -> None:
    """Send a notification to a group in the other server processes, from a server, the worker or a command."""
    if _bus is not None:
        _bus.send(group, notice)
    elif settings.REDIS_URL:
        from chat.infra.redis_bus import send_once

        await send_once(group, notice)
