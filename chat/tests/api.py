"""How tests call the API."""

from typing import Any

from chat.accounts import tokens
from chat.models import User


def bearer(user: User, *scopes: str) -> dict[str, str]:
    """Make a token with these scopes, or with all, and return the header that shows it."""
    return shown(tokens.make(user=user, name="test", scopes=scopes or tokens.scopes_of(user)).key)


def shown(key: str) -> dict[str, str]:
    """Return the header that shows a key."""
    return {"Authorization": f"Bearer {key}"}


def error_of(answer: Any, status: int) -> str:
    """Check that an answer is a failure as all are told, with this status; return its code."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"].startswith("application/json")
    body = answer.json()
    assert set(body) == {"error"}
    assert {"code", "detail"} <= set(body["error"]) <= {"code", "detail", "fields"}
    assert body["error"]["detail"].endswith((".", "!"))
    return str(body["error"]["code"])
