"""Every entry point refuses invalid JSON with the position of its first error."""

import json
import uuid
from typing import Any

import pytest
from django.test import Client

from chat.conversations import services as conversations
from chat.exceptions import BadJson
from chat.infra.json_text import read_json
from chat.models import User
from chat.realtime.client_frames import BadFrame, parse
from chat.tests.api import bearer, error_code

BROKEN = [
    (b'{"title": "x",\n "due" 5}', "This is not valid JSON at line 2, column 8: Expecting ':' delimiter."),
    (b'{"title": "x', "This is not valid JSON at line 1, column 11: Unterminated string starting."),
    (b"{", "This is not valid JSON at line 1, column 2: Expecting property name enclosed in double quotes."),
    (b'{"title": "x"} 5', "This is not valid JSON at line 1, column 16: Extra data."),
    (b'{"title": "NaN",\n "n": NaN}', "This is not valid JSON at line 2, column 7: NaN is not JSON."),
    (b'{"a": -Infinity}', "This is not valid JSON at line 1, column 7: -Infinity is not JSON."),
    (b'{"title": "\xff"}', "This is not text in UTF-8: the byte at offset 11 is invalid."),
    (b"[" * 60_000, "This JSON is nested too deeply."),
    (b'{"a": ' + b"9" * 5_000 + b"}", "This JSON has a number with too many digits."),
]


@pytest.mark.parametrize(("data", "sentence"), BROKEN)
def test_error_names_the_position_of_the_first_fault(data: bytes, sentence: str) -> None:
    with pytest.raises(BadJson) as refused:
        read_json(data)
    assert refused.value.detail == sentence


@pytest.mark.parametrize("value", [{}, [], "NaN", 5, 1.5, None, {"a": ["ü", "\ud83d"]}])
def test_valid_json_is_read(value: object) -> None:
    text = json.dumps(value)
    assert read_json(text) == read_json(text.encode()) == read_json(b"\xef\xbb\xbf" + text.encode()) == value


@pytest.mark.django_db
def test_every_entry_point_reports_the_position(client: Client, owner: User) -> None:
    data, sentence = BROKEN[0]
    for path in ("/api/tasks", "/api/chatkit", "/api/chatkit/threads"):
        response = client.post(path, data, "application/json", headers=bearer(owner))
        assert error_code(response, 400) == "bad_request"
        assert response.json()["error"]["detail"] == sentence
    with pytest.raises(BadFrame) as refused:
        parse(data.decode())
    assert refused.value.detail == sentence


# Operations without a body.


def bodyless(user: User) -> list[str]:
    thread = f"/api/chatkit/threads/{conversations.begin(user_id=user.pk).id}"
    return [f"{thread}/{verb}" for verb in ("pin", "unpin", "archive", "unarchive", "restore")]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"{}", 200),
        (b" { }\n", 200),
        (b'{"pinned": true}', 422),
        (b"[]", 400),
        (b"null", 400),
        (b"{", 400),
        (b"pinned=1", 400),
    ],
)
def test_operation_without_a_body_refuses_fields(client: Client, owner: User, body: bytes, status: int) -> None:
    for path in bodyless(owner):
        response: Any = client.generic("POST", path, body, "application/json", headers=bearer(owner))
        assert response.status_code == status, (path, response.content)
        if status == 422:
            assert response.json()["error"]["fields"] == {"pinned": "There is no such field"}
            assert response.json()["error"]["detail"] == "This cannot be used: pinned: there is no such field."


@pytest.mark.django_db
def test_unauthorized_request_gets_no_error_about_its_body(client: Client, owner: User) -> None:
    (path, *_) = bodyless(owner)
    assert error_code(client.post(path, b"{", "application/json"), 401) == "not_signed_in"
    undo = f"/api/tasks/changes/{uuid.uuid4()}/undo"
    assert error_code(client.post(undo, b'{"x": 1}', "application/json", headers=bearer(owner)), 422) == "invalid"
