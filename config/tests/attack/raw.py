"""Raw HTTP, for requests that no client library sends."""

import socket

from config.tests.attack.product import Product


def connect(product: Product, timeout: float = 60) -> socket.socket:
    """Open a connection to the product."""
    return socket.create_connection(("127.0.0.1", product.port), timeout=timeout)


def head(method: str, path: str, *lines: str) -> str:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""])
