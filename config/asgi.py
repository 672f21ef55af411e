"""Where requests go: HTTP to Django, websockets to the chat's sockets."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Apps are loaded here; what follows imports models.
http = get_asgi_application()

from chat.sockets import application as websocket  # noqa: E402

application = ProtocolTypeRouter({"http": http, "websocket": websocket})
