"""No request costs more than it may, whatever bytes a client sends, and none is answered with a traceback."""

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
WITHIN = 2  # seconds for a request, at the server of these tests


@pytest.fixture(scope="module")
def server(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        process = ServerProcess(
            LiveDatabase(url),
            tmp_path_factory.mktemp("limits"),
            program="config.tests.tuned_server",
            TUNED=f"config.runtime.http_limits:REQUEST_TIMEOUT={WITHIN} config.runtime.http_limits:MAX_CONNECTIONS=40",
        )
        yield process
        assert "Traceback" not in process.output
        process.kill9()


@dataclass
class Answer:
    """What a client was sent, and how long it took until the connection was closed."""

    status: int
    body: str
    seconds: float
    is_closed: bool


def talk(server: ServerProcess, *parts: bytes, seconds: float = 5) -> Answer:
    """Send bytes, and read until the connection is closed or nothing comes for a while."""
    began, received, is_closed = time.monotonic(), b"", False
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
    return Answer(status, body.decode(errors="replace"), time.monotonic() - began, is_closed)


def connected(server: ServerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def request(line: str | bytes, *headers: str | bytes, body: bytes = b"") -> bytes:
    lines = [part if isinstance(part, bytes) else part.encode("latin1") for part in (line, *headers)]
    return b"\r\n".join([lines[0] + b" HTTP/1.1", HOST.strip(), *lines[1:], b"", b""]) + body


# Bodies.


@pytest.mark.parametrize(
    "path", ["/", "/accounts/login/", "/static/css/base.css", "/api/auth/login", "/mcp", "/nowhere"]
)
def test_a_body_that_is_too_long_is_refused_before_it_is_sent(server: ServerProcess, path: str) -> None:
    answer = talk(server, request(f"POST {path}", "Content-Length: 300000000"))
    assert (answer.status, answer.is_closed) == (413, True)
    assert answer.seconds < 1
    if path.startswith(("/api/", "/mcp")):
        assert json.loads(answer.body) == {
            "error": {"code": "too_large", "detail": "This request is too large."},
        }
    else:
        assert answer.body == "This request is too large.\n"


def test_a_client_that_asks_first_is_told_no(server: ServerProcess) -> None:
    big = request("POST /accounts/login/", "Expect: 100-continue", "Content-Length: 300000000")
    assert talk(server, big).status == 413
    small = request("POST /accounts/login/", "Expect: 100-continue", "Content-Length: 5")
    assert talk(server, small).status == 100


@pytest.mark.parametrize("path", ["/", "/api/chatkit/threads"])
def test_chunks_are_counted_and_none_is_stored_on_disk(server: ServerProcess, path: str) -> None:
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
    assert sent < 32_000_000, "what the kernel holds, and little more"
    assert process.memory_info().rss - memory < 20_000_000
    assert _written(process) - disk < 1_000_000
    assert not [file for file in _files(process) - files if "deleted" in file]


def _written(process: psutil.Process) -> int:
    return process.io_counters().write_bytes


def _files(process: psutil.Process) -> set[str]:
    folder = Path(f"/proc/{process.pid}/fd")
    return {os.readlink(file) for file in folder.iterdir() if file.is_symlink()}


def test_what_a_route_takes_is_taken(server: ServerProcess) -> None:
    for path, size in [("/accounts/login/", BODY_LIMIT), ("/api/chatkit/threads", LARGER_BODIES["/api/chatkit"])]:
        # It gets as far as the application.
        head = request(f"POST {path}", f"Content-Length: {size}", CLOSE)
        assert talk(server, head, b"a" * size, seconds=20).status in (400, 401, 403)
        head = request(f"POST {path}", "Transfer-Encoding: chunked", CLOSE)
        chunk = b"%x\r\n" % size + b"a" * size + b"\r\n0\r\n\r\n"
        assert talk(server, head, chunk, seconds=20).status in (400, 401, 403)
        assert talk(server, request(f"POST {path}", f"Content-Length: {size + 1}")).status == 413


# Time.


def test_a_request_that_is_not_complete_in_time_is_ended(server: ServerProcess) -> None:
    def dribble(client: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client.sendall(b"X-A: a\r\n")
                time.sleep(0.2)

    beginnings = {
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
        with ThreadPoolExecutor(len(beginnings)) as clients:
            answers = clients.map(lambda beginning: talk(server, beginning, seconds=20), beginnings.values())
        for name, answer in zip(beginnings, answers, strict=True):
            assert answer.is_closed, name
            assert WITHIN - 1 < answer.seconds < 20, name
            if name != "nothing":
                assert "408" in (str(answer.status), answer.body.partition("HTTP/1.1 ")[2][:3]), name
        assert dribbling.recv(200).startswith(b"HTTP/1.1 408 ")


@pytest.mark.long
def test_it_has_thirty_seconds(_migrated_template: str, tmp_path: Path) -> None:
    assert REQUEST_TIMEOUT == 30
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        server = ServerProcess(LiveDatabase(url), tmp_path)
        try:
            answer = talk(server, b"GET /healthz HTTP/1.1\r\n", seconds=40)
        finally:
            server.kill9()
    assert answer.status == 408
    assert 29 < answer.seconds < 33


def test_connections_that_only_wait_give_way(server: ServerProcess) -> None:
    waiting = [connected(server) for _ in range(50)]
    for client in waiting[::2]:
        with suppress(ConnectionError):  # the first have given way already
            client.sendall(b"GET /heal")
    try:
        for _ in range(3):
            assert httpx.get(f"{server.url}/healthz", timeout=2).status_code == 200
    finally:
        for client in waiting:
            client.close()
    assert MAX_CONNECTIONS >= 1000


# Requests that nobody can mean well with.

ODD = {
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
    "many bad ones in a row": b"GET /\xb0 HTTP/1.1\r\n\r\n" * 900,
    "an odd subprotocol": request(
        "GET /ws/chat/00000000-0000-4000-8000-000000000000/",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Protocol: \xff",
    ),
}
OTHERS = {
    "a long URL": (request(f"GET /{'a' * 20_000}"), 414),
    "a URL without an end": (b"GET /" + b"a" * 70_000, 414),
    "many headers": (request("GET /healthz", *[f"X-{n}: a" for n in range(200)]), 431),
    "long headers": (request("GET /api/tasks", *[f"X-{n}: {'a' * 1000}" for n in range(30)]), 431),
    "TRACE": (request("TRACE /"), 501),
    "CONNECT": (request("CONNECT evil.example:443"), 501),
    "an unknown method": (request("BREW /accounts/login/"), 501),
    "a websocket of nothing": (
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
    "UTF-8 that is none": (request("GET /%ff%fe/?q=%ff", CLOSE), 404),
    "up and out": (request("GET /static/%2e%2e/%2e%2e/etc/passwd", CLOSE), 404),
    "a header of the ASGI server": (request("GET /healthz", b"Daphne-Root-Path: \xff", CLOSE), 200),
    "a whole URL": (request("GET http://localhost/healthz", CLOSE), 200),
    "HEAD": (request("HEAD /healthz", CLOSE), 200),
    "another upgrade": (request("GET /healthz", "Upgrade: h2c", "Connection: Upgrade close"), 200),
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
def test_what_cannot_be_read_is_refused_once(server: ServerProcess, sent: bytes) -> None:
    answer = talk(server, sent)
    assert answer.status == 400
    assert "HTTP/1." not in answer.body, "one answer, and what came behind it is not looked at"


@pytest.mark.parametrize(("sent", "status"), OTHERS.values(), ids=OTHERS)
def test_each_has_its_status(server: ServerProcess, sent: bytes, status: int) -> None:
    assert talk(server, sent).status == status


def test_a_head_request_gets_no_body_however_long_it_is(server: ServerProcess) -> None:
    answer = talk(server, request("HEAD /api/openapi.json", CLOSE))
    assert (answer.status, answer.body) == (200, "")


HANDSHAKE = ("Upgrade: websocket", "Connection: Upgrade")
VERSION, KEY = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(
    ("headers", "status"),
    [((VERSION, KEY, "Origin: null"), 403), ((VERSION,), 400), ((KEY, "Sec-WebSocket-Version: 7"), 400)],
    ids=["origin", "no key", "version"],
)
def test_a_handshake_that_is_refused_is_no_error_of_the_server(
    server: ServerProcess, headers: tuple[str, ...], status: int
) -> None:
    path = "GET /ws/chat/00000000-0000-4000-8000-000000000000/"
    before = len(server.output)
    answer = talk(server, request(path, *HANDSHAKE, *headers))
    assert (answer.status, answer.is_closed) == (status, True)
    # What follows the end of the connection is in the log before this request is.
    assert talk(server, request("GET /nowhere", CLOSE)).status == 404
    eventually(lambda: "answered 404" in server.output[before:], what="the next request in the log")
    assert "Unhandled" not in server.output[before:], server.output[before:]


def test_a_client_does_not_choose_where_links_lead(server: ServerProcess) -> None:
    answer = talk(server, request("GET /", "Daphne-Root-Path: //evil.example", CLOSE))
    assert answer.status == 302
    assert "evil" not in answer.body


def test_a_small_answer_that_is_in_json_says_so_where_programs_ask(server: ServerProcess) -> None:
    answer = talk(server, request("BREW /api/tasks"))
    assert json.loads(answer.body)["error"]["code"] == "method_not_allowed"
