"""The server, but a client must read within a second: `python -m chat.tests.impatient_server`."""

from config.runtime import (
    asgi_server,  # first: it decides which loop there is
    websocket,
)

if __name__ == "__main__":
    websocket.READ_TIMEOUT = 1.0
    asgi_server.main()
