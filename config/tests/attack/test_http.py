"""Malformed HTTP: no request causes a server error or blocks the server."""

import json
import socket
import uuid
from contextlib import suppress

import httpx
import pytest

from config.tests.attack.clients import Person
from config.tests.attack.marks import load_group
from config.tests.attack.product import Product, Watch, private_memory
from config.tests.attack.raw import connect, head

pytestmark = load_group

PATHS = [
    "/%00",
    "/%ff%fe",
    "/%",
    "/%zz",
    "/..%2f..%2fetc/passwd",
    "/static/../../etc/passwd",
    "/static/..%2f..%2fmanage.py",
    "/static/%2e%2e/%2e%2e/manage.py",
    "/static/css/",
    "/static/%00",
    "//",
    "/" + "a" * 8_000,
    "/" + "a/" * 3_000,
    "/?" + "a=1&" * 2_000,
    "/?a=%00",
    "/accounts/login/?next=%00",
    "/accounts/reset/%00/%00/",
    "/accounts/reset/AAAA/x/",
    "/accounts/reset/" + "A" * 3_000 + "/x/",
    "/c/x/",
    "/c/00000000-0000-0000-0000-000000000000/",
    "/api/tasks?limit=-1",
    "/api/tasks?limit=99999999999999999999",
    "/api/tasks?limit=x&after=%00",
    "/api/tasks?after=" + "A" * 5_000,
    "/api/tasks?status=%00",
    "/api/tasks/%00",
    "/api/chatkit/threads?after=eyJ",
    "/api/chatkit/threads?after=%E2%98%83",
    "/api/chatkit/threads/00000000-0000-0000-0000-000000000000?before=%00",
    "/api/search?q=%ff",
    "/api/openapi.json?x=%00",
    "/admin/%00/",
    "/admin/chat/user/?q=%00",
    "/mcp?x=%00",
    "/mcp/",
    "/metrics",
    "/ws/chat/x/",
    "/ws/chat/00000000-0000-0000-0000-000000000000/",
    "/favicon.ico",
    "/robots.txt",
    "/.env",
    "/.git/config",
    "/data/secret_key",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X" * 30, "get"]


def exchange(product: Product, request_bytes: bytes, seconds: float = 5) -> bytes:
    """Send bytes and return everything that is received within a timeout."""
    received = b""
    with connect(product, seconds) as connection, suppress(OSError):
        connection.sendall(request_bytes)
        while part := connection.recv(65536):
            received += part
    return received


def statuses(received: bytes) -> list[int]:
    """Return the status codes of the responses in the received bytes."""
    lines = [line for line in received.split(b"\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split()[1]) for line in lines]


def test_no_path_causes_server_error(product: Product, person: Person) -> None:
    signed_in = f"Cookie: {person.browser.cookie}"
    bearer = f"Authorization: Bearer {person.token}"
    failed = []
    for path in PATHS:
        for credentials in ("X-A: b", signed_in, bearer):
            response = exchange(product, head("GET", path, "Connection: close", credentials).encode())
            if any(status >= 500 for status in statuses(response)):
                failed.append((path, credentials[:8]))
            assert b"Traceback" not in response
            assert b"root:" not in response
    assert failed == []


def test_no_method_causes_server_error(product: Product) -> None:
    failed = []
    for path in ("/", "/healthz", "/accounts/login/", "/api/tasks", "/api/auth/login", "/mcp", "/static/css/app.css"):
        for method in METHODS:
            response = exchange(product, head(method, path, "Connection: close", "Content-Length: 0").encode(), 3)
            # 501 refuses a method that the server does not know.
            if any(status >= 500 and status != 501 for status in statuses(response)):
                failed.append((method, path))
    assert failed == []


HEADS = {
    "two hosts": head("GET", "/healthz", "Host: evil.test", "Connection: close"),
    "no host": "GET /accounts/login/ HTTP/1.1\r\nConnection: close\r\n\r\n",
    "HTTP/1.0": "GET /accounts/login/ HTTP/1.0\r\n\r\n",
    "HTTP/9.9": "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no version": "GET /\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "many cookies": head("GET", "/", "Cookie: " + "; ".join(f"c{n}=1" for n in range(1_500)), "Connection: close"),
    "a bad cookie": head("GET", "/", 'Cookie: sessionid="\x01\xff; csrftoken=é; a', "Connection: close"),
    "a long session": head("GET", "/", f"Cookie: sessionid={'a' * 10_000}", "Connection: close"),
    "a NUL session": head("GET", "/", "Cookie: sessionid=a%00\x00b", "Connection: close"),
    "expect more": head("GET", "/", "Expect: 200-ok", "Connection: close"),
    "a charset": head("POST", "/accounts/login/", "Content-Type: text/plain; charset=nonsense", "Content-Length: 1")
    + "a",
    "a boundary": head("POST", "/accounts/login/", "Content-Type: multipart/form-data", "Content-Length: 1") + "a",
    "a long boundary": head(
        "POST", "/accounts/login/", f"Content-Type: multipart/form-data; boundary={'b' * 5_000}", "Content-Length: 1"
    )
    + "a",
    "a language": head("GET", "/accounts/login/", f"Accept-Language: {'a-' * 3_000}", "Connection: close"),
    "a range": head("GET", "/static/css/app.css", f"Range: bytes={','.join(['0-'] * 900)}", "Connection: close"),
    "dates": head("GET", "/static/css/app.css", "If-Modified-Since: Xyz, 99 99999 99:99:99", "Connection: close"),
    "an accept": head("GET", "/api/docs", f"Accept: {'a/b,' * 2_000}", "Connection: close"),
    "an idempotency key": head("POST", "/api/chatkit/threads", f"Idempotency-Key: {'a' * 9_000}", "Content-Length: 0"),
    "a forwarded proto": head("GET", "/accounts/login/", "X-Forwarded-Proto: x\x00y", "Connection: close"),
}


@pytest.mark.parametrize("name", HEADS)
def test_no_request_head_causes_server_error(product: Product, name: str) -> None:
    response = exchange(product, HEADS[name].encode("latin1", "replace"), 2)
    assert not any(status >= 500 for status in statuses(response)), response[:300]
    assert b"Traceback" not in response
    assert b"evil.test" not in response
    assert product.responds("/healthz")


def test_pipelined_requests_use_bounded_memory(product: Product) -> None:
    request = head("GET", "/accounts/login/").encode()
    server = product.server
    with Watch(lambda: private_memory([server]), every=0.1) as memory:
        with connect(product, 10) as connection, suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(5)
            for _ in range(20):
                connection.sendall(request * 200)
        assert product.responds(timeout=20)
    assert memory.growth < 60, f"{memory.growth:.0f} MB"


# JSON.


def mcp_call(params: str) -> bytes:
    """Return the JSON-RPC body of a tool call."""
    return f'{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {params}}}'.encode()


JSON_BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b"\xff\xfe",
    b'{"a": NaN}',
    b'{"title": NaN}',
    b'{"title": 1e999}',
    b'{"title": "\\ud800"}',
    b'{"title": "\\u0000"}',
    b'{"text": "\\ud800"}',
    b'{"email": "\\u0000", "password": "\\u0000"}',
    b'{"email": "\\ud800@example.com", "password": "\\ud800"}',
    b'{"title": "x", "due": "99999-01-01"}',
    b'{"title": "x", "due": "0000-00-00"}',
    b'{"title": "x", "due": "2026-02-30T25:61"}',
    b'{"title": "x", "priority": "\\u0000"}',
    b'{"name": "\\u0000", "scopes": ["chat"], "expires_at": "9999-12-31T23:59:59Z"}',
    b'{"name": "x", "scopes": ["chat"], "expires_at": 1e30}',
    b'{"name": "x", "scopes": [], "expires_at": "x"}',
    b'{"type": "\\u0000", "params": {}}',
    b'{"type": "threads.get_by_id", "params": {"thread_id": "\\u0000"}}',
    b'{"type": "threads.list", "params": {"limit": -5, "after": "\\u0000", "order": "x"}}',
    b'{"type": "threads.list", "params": {"limit": 99999999999999999999}}',
    mcp_call('{"name": "get_task", "arguments": {"number": 1e30}}'),
    mcp_call('{"name": "create_task", "arguments": {"title": "\\u0000"}}'),
    mcp_call('{"name": "create_task", "arguments": {"title": "\\ud800"}}'),
    b'{"jsonrpc": "2.0", "id": 1, "method": "\\u0000"}',
    b'{"jsonrpc": "2.0", "id": [1], "method": "tools/list"}',
    b"[" * 20_000,
    b'{"a":' * 10_000,
    b"[" * 30_000 + b"]" * 30_000,
    b"1" * 60_000,
    b'{"title": ' + b"9" * 5_000 + b"}",
    b'{"' + b"a" * 60_000 + b'": 1}',
    json.dumps({f"k{n}": n for n in range(4_000)}).encode(),
]


def test_no_json_body_causes_server_error(product: Product, person: Person) -> None:
    thread = person.new_thread()
    failed = []
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    targets = [
        ("POST", "/api/tasks"),
        ("PATCH", f"/api/tasks/{uuid.uuid4()}"),
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/register"),
        ("POST", "/api/auth/tokens"),
        ("POST", "/api/chatkit"),
        ("POST", "/api/chatkit/threads"),
        ("PATCH", f"/api/chatkit/threads/{thread}"),
        ("POST", f"/api/chatkit/threads/{thread}/messages"),
        ("POST", f"/api/chatkit/threads/{thread}/turns/{uuid.uuid4()}/approvals/x"),
        ("POST", "/mcp"),
    ]
    with person.program(headers) as program:
        for method, path in targets:
            for body in JSON_BODIES:
                try:
                    response = program.request(method, path, content=body, timeout=20)
                except httpx.TransportError as error:
                    failed.append((path, body[:80], repr(error)))
                    continue
                if response.status_code >= 500 and response.status_code != 503:
                    failed.append((path, body[:80], str(response.status_code)))
    assert failed == []
