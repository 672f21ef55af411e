"""Route HTTP to Django, the MCP server or the health probes, and websockets to the chat's consumers."""

import os
from typing import Any

import django
from channels.routing import ProtocolTypeRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# This loads the apps; the imports below need models.
django.setup(set_prefix=False)

from chat.infra.root_path import within_site  # noqa: E402
from chat.mcp.application import PATHS  # noqa: E402
from chat.mcp.application import application as mcp  # noqa: E402
from chat.realtime.consumer import application as websocket  # noqa: E402
from chat.web.handler import QueueingHandler  # noqa: E402
from config.runtime.proxy_headers import resolve_proxy_headers  # noqa: E402
from config.runtime.request_metrics import measure_requests  # noqa: E402
from config.runtime.security_headers import add_security_headers  # noqa: E402
from sessions_admin.health import PROBES, Probes  # noqa: E402
from sessions_admin.prometheus import exposition  # noqa: E402

pages = QueueingHandler()
probes = Probes(exposition)


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Route an HTTP request by its path."""
    path = within_site(scope["path"])
    await (probes if path in PROBES else mcp if path in PATHS else pages)(scope, receive, send)


measured = measure_requests(add_security_headers(http))
routes = {"http": resolve_proxy_headers(measured), "websocket": resolve_proxy_headers(websocket)}
application = ProtocolTypeRouter(routes)
