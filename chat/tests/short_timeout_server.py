"""Run the server with a read timeout of one second for sockets: `python -m chat.tests.short_timeout_server`."""

from config.runtime import (
    asgi_server,  # first: it chooses the event loop
    websocket,
)

if __name__ == "__main__":
    websocket.READ_TIMEOUT = 1.0
    asgi_server.main()
