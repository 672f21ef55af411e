"""The server, but a client must read within a second: `python -m chat.tests.impatient_server`."""

from config import server  # first: it decides which loop there is
from config.runtime import websocket

if __name__ == "__main__":
    websocket.READ_WITHIN = 1.0
    server.main()
