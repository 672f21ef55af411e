"""Requests whose body or head is too long, or never complete, cost nothing."""

import threading

from config.tests.attack.clients import Person
from config.tests.attack.marks import on_processes, on_product, quick
from config.tests.attack.product import MEGABYTE, Product, Watch, at_once, private_memory, spooled
from config.tests.attack.raw import Outcome, chunks, connect, drip, head, send

PATHS = [
    "/",
    "/healthz",
    "/nothing",
    "/accounts/login/",
    "/admin/login/",
    "/api/auth/login",
    "/api/chatkit",
    "/api/nothing",
    "/mcp",
    "/static/css/app.css",
]
SIZE = 300 * MEGABYTE
PART = 256 * 1024


def announced(product: Product, path: str, *lines: str) -> Outcome:
    """Send 300 MB that were announced."""
    parts = (b"x" * PART for _ in range(SIZE // PART))
    return send(product, head("POST", path, f"Content-Length: {SIZE}", *lines), parts)


def in_chunks(product: Product, path: str, *lines: str) -> Outcome:
    """Send 300 MB that were not announced."""
    return send(product, head("POST", path, "Transfer-Encoding: chunked", *lines), chunks(SIZE // PART, PART))


def kept(product: Product) -> float:
    """Return what the server keeps in files without a name and in its memory, in MB."""
    server = product.server
    return spooled(server) + private_memory([server])


def check_long_bodies(product: Product, paths: list[str], *lines: str) -> None:
    for path in paths:
        for send_body in (announced, in_chunks):
            with Watch(lambda: kept(product)) as watch:
                outcome = send_body(product, path, *lines)
            assert outcome.status in (0, 400, 413), (path, send_body.__name__, outcome)
            assert watch.growth < 20, f"{path} {send_body.__name__}: {watch.growth:.0f} MB; {outcome}"
            # What the kernel holds, and no more.
            assert outcome.sent < 32 * MEGABYTE, (path, send_body.__name__, outcome)


class TestAnonymous:
    pytestmark = on_product

    @quick
    def test_a_body_of_300_mb_is_refused_before_it_is_stored(self, product: Product) -> None:
        check_long_bodies(product, ["/accounts/login/"])

    def test_whatever_the_url_is(self, product: Product) -> None:
        check_long_bodies(product, PATHS)

    def test_and_the_kind_of_the_body(self, product: Product) -> None:
        for kind in ["multipart/form-data; boundary=b", "application/json", "text/plain", "application/octet-stream"]:
            check_long_bodies(product, ["/api/auth/login"], f"Content-Type: {kind}")

    def test_bodies_just_beyond_the_limit_are_refused_in_words(self, product: Product) -> None:
        body = b"x" * 70_000
        for path in ["/api/auth/login", "/accounts/login/"]:
            lines = (f"Content-Length: {len(body)}", "Content-Type: application/json")
            assert send(product, head("POST", path, *lines), [body]).status == 413

    def test_many_long_bodies_at_once(self, product: Product) -> None:
        with Watch(lambda: kept(product)) as watch:
            at_once(20, lambda n: (announced, in_chunks)[n % 2](product, "/api/auth/login"))
        assert watch.growth < 60


class TestSignedIn:
    pytestmark = on_product

    def test_a_person_s_long_body_is_refused_too(self, product: Product, person: Person) -> None:
        bearer = f"Authorization: {person.bearer['Authorization']}"
        check_long_bodies(product, ["/api/tasks", "/api/chatkit", "/mcp"], bearer)


class TestNeverComplete:
    """These wait for more than half a minute, all at once."""

    pytestmark = on_processes

    def test_unfinished_requests_are_ended_after_30_seconds(self, bare_product: Product) -> None:
        unfinished = {
            "nothing": b"",
            "a line": b"GET / HT",
            "a head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ",
            "a body": head("POST", "/accounts/login/", "Content-Length: 5000").encode(),
            "chunks": head("POST", "/accounts/login/", "Transfer-Encoding: chunked").encode(),
        }
        seconds: dict[str, float] = {}

        def wait(name: str) -> None:
            seconds[name] = drip(bare_product, unfinished[name], chunked=name == "chunks", most=75)

        threads = [threading.Thread(target=wait, args=(name,)) for name in unfinished]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert max(seconds.values()) < 60, seconds

    def test_a_thousand_idle_connections_do_not_keep_others_out(self, bare_product: Product) -> None:
        idle = [connect(bare_product) for _ in range(1000)]
        try:
            assert bare_product.works()
        finally:
            for connection in idle:
                connection.close()
