"""Give HTTP requests an id in the log, and time them until their response starts: streams last as long as turns."""

import time
import uuid
from typing import Any

from chat.infra.log_context import bind
from chat.infra.metrics import REQUESTS
from chat.infra.root_path import within_site

AREAS = ("admin", "api", "mcp", "static", "accounts", "settings", "healthz", "readyz", "metrics")


def measure_requests(application: Any) -> Any:
    """Wrap an ASGI application for HTTP."""

    async def measured(scope: dict[str, Any], receive: Any, send: Any) -> None:
        begin = time.perf_counter()
        bind(request_id=uuid.uuid4().hex)

        async def timed_send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                labels = {"area": area_of(within_site(scope["path"])), "status": f"{message['status'] // 100}xx"}
                REQUESTS.labels(**labels).observe(time.perf_counter() - begin)
            await send(message)

        await application(scope, receive, timed_send)

    return measured


def area_of(path: str) -> str:
    """Return the area of the site that a path belongs to: a fixed set, whatever clients ask for."""
    first = path.split("/", 2)[1] if "/" in path else ""
    return first if first in AREAS else "pages"
