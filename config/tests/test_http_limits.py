"""Limits of HTTP requests: size, time and connections are bounded, and malformed requests cause no traceback."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from config.runtime.http_limits import BODY_LIMIT, LARGER_BODIES, MAX_CONNECTIONS, REQUEST_TIMEOUT
from config.tests.support import LiveDatabase, ServerProcess, database, eventually

pytestmark = pytest.mark.service

HOST = b"Host: localhost\r\n"
CLOSE = "Connection: close"
TIMEOUT = 2  # seconds, at the server of these tests


@pytest.fixture(scope="module")
def server(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        process = ServerProcess(
            LiveDatabase(url),
            tmp_path_factory.mktemp("limits"),
            program="config.tests.tuned_server",
            TUNED=f"config.runtime.http_limits:REQUEST_TIMEOUT={TIMEOUT} config.runtime.http_limits:MAX_CONNECTIONS=40",
        )
        yield process
        assert "Traceback" not in process.output
        process.kill9()


@dataclass
class Response:
    """A response, and the seconds until the connection was closed."""

    status: int
    body: str
    seconds: float
    is_closed: bool


def exchange(server: ServerProcess, *parts: bytes, seconds: float = 5) -> Response:
    """Send bytes, and read until the connection is closed or nothing is received for some seconds."""
    started, received, is_closed = time.monotonic(), b"", False
    with connected(server) as client:
        client.settimeout(seconds)
        with suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                client.sendall(part)
        with suppress(TimeoutError):
            while not is_closed:
                data = client.recv(65536)
                is_closed, received = not data, received + data
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.") else 0
    return Response(status, body.decode(errors="replace"), time.monotonic() - started, is_closed)


def connected(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def request(line: str | bytes, *headers: str | bytes, body: bytes = b"") -> bytes:
    lines = [part if isinstance(part, bytes) else part.encode("latin1") for part in (line, *headers)]
    return b"\r\n".join([lines[0] + b" HTTP/1.1", HOST.strip(), *lines[1:], b"", b""]) + body


# Bodies.


@pytest.mark.parametrize(
    "path", ["/", "/accounts/login/", "/static/css/base.css", "/api/auth/login", "/mcp", "/nowhere"]
)
def test_oversized_body_is_refused_before_it_is_sent(server: ServerProcess, path: str) -> None:
    response = exchange(server, request(f"POST {path}", "Content-Length: 300000000"))
    assert (response.status, response.is_closed) == (413, True)
    assert response.seconds < 1
    if path.startswith(("/api/", "/mcp")):
        assert json.loads(response.body) == {
            "error": {"code": "too_large", "detail": "This request is too large."},
        }
    else:
        assert response.body == "This request is too large.\n"


def test_expect_100_continue_with_oversized_body_is_refused(server: ServerProcess) -> None:
    big = request("POST /accounts/login/", "Expect: 100-continue", "Content-Length: 300000000")
    assert exchange(server, big).status == 413
    small = request("POST /accounts/login/", "Expect: 100-continue", "Content-Length: 5")
    assert exchange(server, small).status == 100


@pytest.mark.parametrize("path", ["/", "/api/chatkit/threads"])
def test_oversized_chunked_body_is_refused_without_using_disk(server: ServerProcess, path: str) -> None:
    process = psutil.Process(server.process.pid)
    disk, memory, files = _written(process), process.memory_info().rss, _files(process)
    sent = 0
    with connected(server) as client:
        client.sendall(request(f"POST {path}", "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 300_000_000:
                client.sendall(chunk)
                sent += len(chunk)
        assert client.recv(200).startswith(b"HTTP/1.1 413 ")
    assert sent < 32_000_000, "only a little more than the buffers of the kernel"
    assert process.memory_info().rss - memory < 20_000_000
    assert _written(process) - disk < 1_000_000
    assert not [file for file in _files(process) - files if "deleted" in file]


def _written(process: psutil.Process) -> int:
    return process.io_counters().write_bytes


def _files(process: psutil.Process) -> set[str]:
    folder = Path(f"/proc/{process.pid}/fd")
    return {os.readlink(file) for file in folder.iterdir() if file.is_symlink()}


def test_body_up_to_the_limit_of_its_route_is_accepted(server: ServerProcess) -> None:
    for path, size in [("/accounts/login/", BODY_LIMIT), ("/api/chatkit/threads", LARGER_BODIES["/api/chatkit"])]:
        # The request reaches the application.
        head = request(f"POST {path}", f"Content-Length: {size}", CLOSE)
        assert exchange(server, head, b"a" * size, seconds=20).status in (400, 401, 403)
        head = request(f"POST {path}", "Transfer-Encoding: chunked", CLOSE)
        chunk = b"%x\r\n" % size + b"a" * size + b"\r\n0\r\n\r\n"
        assert exchange(server, head, chunk, seconds=20).status in (400, 401, 403)
        assert exchange(server, request(f"POST {path}", f"Content-Length: {size + 1}")).status == 413


# Time.


def test_incomplete_request_is_closed_after_timeout(server: ServerProcess) -> None:
    def dribble(client: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client.sendall(b"X-A: a\r\n")
                time.sleep(0.2)

    partial_requests = {
        "nothing": b"",
        "a part of a line": b"GET /hea",
        "a head": request("GET /healthz").removesuffix(b"\r\n"),
        "a length and no body": request("POST /healthz", "Content-Length: 5", body=b"abc"),
        "chunks": request("POST /api/tasks", "Transfer-Encoding: chunked", body=b"5\r\nab"),
        "after another request": request("GET /healthz") + b"GET",
    }
    with closing(connected(server)) as dribbling:
        dribbling.sendall(b"GET /healthz HTTP/1.1\r\n")
        threading.Thread(target=dribble, args=[dribbling], daemon=True).start()
        with ThreadPoolExecutor(len(partial_requests)) as clients:
            responses = clients.map(lambda partial: exchange(server, partial, seconds=20), partial_requests.values())
        for name, response in zip(partial_requests, responses, strict=True):
            assert response.is_closed, name
            assert TIMEOUT - 1 < response.seconds < 20, name
            if name != "nothing":
                assert "408" in (str(response.status), response.body.partition("HTTP/1.1 ")[2][:3]), name
        assert dribbling.recv(200).startswith(b"HTTP/1.1 408 ")


@pytest.mark.long
def test_default_request_timeout_is_thirty_seconds(_migrated_template: str, tmp_path: Path) -> None:
    assert REQUEST_TIMEOUT == 30
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        server = ServerProcess(LiveDatabase(url), tmp_path)
        try:
            response = exchange(server, b"GET /healthz HTTP/1.1\r\n", seconds=40)
        finally:
            server.kill9()
    assert response.status == 408
    assert 29 < response.seconds < 33


def test_waiting_connections_are_closed_in_favour_of_new_ones(server: ServerProcess) -> None:
    waiting = [connected(server) for _ in range(50)]
    for client in waiting[::2]:
        with suppress(ConnectionError):  # the server has closed the first ones
            client.sendall(b"GET /heal")
    try:
        for _ in range(3):
            assert httpx.get(f"{server.url}/healthz", timeout=2).status_code == 200
    finally:
        for client in waiting:
            client.close()
    assert MAX_CONNECTIONS >= 1000


# Malformed and unusual requests.

MALFORMED = {
    "a length and chunks": request(
        "POST /api/tasks",
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        body=b"0\r\n\r\n" + request("GET /healthz"),
    ),
    "chunks and a length": request("POST /", "Transfer-Encoding: chunked", "Content-Length: 4", body=b"0\r\n\r\n"),
    "two lengths": request("POST /", "Content-Length: 4", "Content-Length: 5", body=b"abcde"),
    "chunks twice": request("POST /", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "a header that continues": request("GET /healthz", "A: b", " c"),
    "another coding": request("POST /", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "a negative length": request("POST /", "Content-Length: -1"),
    "a length of many digits": request("POST /", f"Content-Length: {'9' * 5000}"),
    "a chunk that has no length": request("POST /", "Transfer-Encoding: chunked", body=b"zz\r\n"),
    "a header without a colon": request("GET /healthz", "nonsense", "A: b"),
    "a header with a space": request("POST /healthz", "Content-Length : 3", body=b"abc"),
    "a NUL": request(b"GET /a\0b"),
    "an encoded NUL in the path": request("GET /static/a%00b"),
    "an encoded NUL in the query": request("GET /accounts/login/?next=%00"),
    "letters that are not ASCII": request("GET /ü"),
    "a query that is not ASCII": request("GET /?q=ü"),
    "no path": request("GET accounts"),
    "another scheme": request("GET ftp://localhost/"),
    "a URL without a host": request("GET http:///healthz"),
    "another host in the URL": request("GET http://evil.example/accounts/login/", CLOSE),
    "the server as a whole": request("OPTIONS *"),
    "another version": b"GET /healthz HTTP/2.0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    "many malformed requests in a row": b"GET /\xb0 HTTP/1.1\r\n\r\n" * 900,
    "an odd subprotocol": request(
        "GET /ws/chat/00000000-0000-4000-8000-000000000000/",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Protocol: \xff",
    ),
}
UNUSUAL = {
    "a long URL": (request(f"GET /{'a' * 20_000}"), 414),
    "a URL without an end": (b"GET /" + b"a" * 70_000, 414),
    "many headers": (request("GET /healthz", *[f"X-{n}: a" for n in range(200)]), 431),
    "long headers": (request("GET /api/tasks", *[f"X-{n}: {'a' * 1000}" for n in range(30)]), 431),
    "TRACE": (request("TRACE /"), 501),
    "CONNECT": (request("CONNECT evil.example:443"), 501),
    "an unknown method": (request("BREW /accounts/login/"), 501),
    "a websocket at a page": (
        request(
            "GET /accounts/login/",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ),
        403,
    ),
    "a websocket by POST": (
        request("POST /ws/chat/x/", "Upgrade: websocket", "Connection: Upgrade", "Content-Length: 3", body=b"abc"),
        405,
    ),
    "invalid UTF-8": (request("GET /%ff%fe/?q=%ff", CLOSE), 404),
    "a path out of the folder": (request("GET /static/%2e%2e/%2e%2e/etc/passwd", CLOSE), 404),
    "a header of the ASGI server": (request("GET /healthz", b"Daphne-Root-Path: \xff", CLOSE), 200),
    "a whole URL": (request("GET http://localhost/healthz", CLOSE), 200),
    "HEAD": (request("HEAD /healthz", CLOSE), 200),
    "another upgrade": (request("GET /healthz", "Upgrade: h2c", "Connection: Upgrade close"), 200),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_malformed_request_gets_one_400_response(server: ServerProcess, sent: bytes) -> None:
    response = exchange(server, sent)
    assert response.status == 400
    assert "HTTP/1." not in response.body, "there is one response, and later bytes are ignored"


@pytest.mark.parametrize(("sent", "status"), UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_request_gets_its_status(server: ServerProcess, sent: bytes, status: int) -> None:
    assert exchange(server, sent).status == status


def test_response_to_head_request_has_no_body(server: ServerProcess) -> None:
    response = exchange(server, request("HEAD /api/openapi.json", CLOSE))
    assert (response.status, response.body) == (200, "")


HANDSHAKE = ("Upgrade: websocket", "Connection: Upgrade")
VERSION, KEY = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(
    ("headers", "status"),
    [((VERSION, KEY, "Origin: null"), 403), ((VERSION,), 400), ((KEY, "Sec-WebSocket-Version: 7"), 400)],
    ids=["origin", "no key", "version"],
)
def test_refused_handshake_is_not_logged_as_error(server: ServerProcess, headers: tuple[str, ...], status: int) -> None:
    path = "GET /ws/chat/00000000-0000-4000-8000-000000000000/"
    before = len(server.output)
    response = exchange(server, request(path, *HANDSHAKE, *headers))
    assert (response.status, response.is_closed) == (status, True)
    # Errors after the end of the connection are logged before this request.
    assert exchange(server, request("GET /nowhere", CLOSE)).status == 404
    eventually(lambda: "answered 404" in server.output[before:], what="the log entry of the next request")
    assert "Unhandled" not in server.output[before:], server.output[before:]


def test_root_path_header_does_not_change_redirect(server: ServerProcess) -> None:
    response = exchange(server, request("GET /", "Daphne-Root-Path: //evil.example", CLOSE))
    assert response.status == 302
    assert "evil" not in response.body


def test_unknown_method_at_api_returns_json_error(server: ServerProcess) -> None:
    response = exchange(server, request("BREW /api/tasks"))
    assert json.loads(response.body)["error"]["code"] == "method_not_allowed"
