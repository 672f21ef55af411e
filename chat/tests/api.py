"""Helpers that call the API."""

from typing import Any

from chat.accounts import tokens
from chat.models import User


def bearer(user: User, *scopes: str) -> dict[str, str]:
    """Create a token with these scopes, or with all, and return its Authorization header."""
    return auth_header(tokens.make(user=user, name="test", scopes=scopes or tokens.scopes_of(user)).key)


def auth_header(key: str) -> dict[str, str]:
    """Return the Authorization header for a token's key."""
    return {"Authorization": f"Bearer {key}"}


def error_code(response: Any, status: int) -> str:
    """Check that a response has the common error format and this status; return the error code."""
    assert response.status_code == status, response.content
    assert response["Content-Type"].startswith("application/json")
    body = response.json()
    assert set(body) == {"error"}
    assert {"code", "detail"} <= set(body["error"]) <= {"code", "detail", "fields"}
    assert body["error"]["detail"].endswith((".", "!"))
    return str(body["error"]["code"])
