"""Clients of the product: browsers, programs and sockets, each behind the proxy with an address of its own."""

import asyncio
import itertools
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Origin

from chat.tests.live import LiveSocket
from config.tests.attack.product import Product
from config.tests.support import PASSWORD, SECONDS

_numbers = itertools.count()
# So that a browser need not be closed.
NO_CONNECTION_KEPT = httpx.Limits(max_connections=None, max_keepalive_connections=0)
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def new_address() -> str:
    """Return an address that no other client uses."""
    number = next(_numbers)
    return f"198.18.{number // 250}.{number % 250 + 1}"


def as_proxied(request: httpx.Request, port: int, address: str) -> httpx.Request:
    """Return a request as a proxy forwards it to the product, with the client's address in X-Forwarded-For."""
    headers = httpx.Headers(request.headers)
    headers["X-Forwarded-For"] = ", ".join(filter(None, [headers.get("X-Forwarded-For"), address]))
    headers["X-Forwarded-Proto"] = request.url.scheme
    url = request.url.copy_with(scheme="http", host="127.0.0.1", port=port)
    return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)


class Proxy(httpx.HTTPTransport):
    """The proxy in front of the product, for one client."""

    def __init__(self, product: Product, address: str) -> None:
        super().__init__(verify=False, limits=NO_CONNECTION_KEPT)
        self.product, self.address = product, address

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return super().handle_request(as_proxied(request, self.product.port, self.address))


class AsyncProxy(httpx.AsyncHTTPTransport):
    """A proxy for asynchronous clients, several of which may share it."""

    def __init__(self, product: Product, address: str) -> None:
        super().__init__(verify=False, limits=NO_CONNECTION_KEPT)
        self.product, self.address = product, address

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await super().handle_async_request(as_proxied(request, self.product.port, self.address))


class Browser(httpx.Client):
    """A browser with a network address."""

    def __init__(self, product: Product, *, address: str | None = None, **options: Any) -> None:
        self.product = product
        self.address = address or new_address()
        transport = Proxy(product, self.address)
        super().__init__(**{"base_url": product.origin, "transport": transport, "timeout": SECONDS, **options})

    def submit(self, path: str, **fields: Any) -> httpx.Response:
        """Load a page and send its form, as a browser does."""
        page = self.get(path, follow_redirects=True)
        match = CSRF.search(page.text)
        token = match[1] if match else self.cookies.get("csrftoken", "")
        data = {"csrfmiddlewaretoken": token, **fields}
        return self.post(page.url.raw_path.decode(), data=data, headers={"Referer": str(page.url)})

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """Send the form of the sign-in page."""
        return self.submit("/accounts/login/", username=email, password=password)

    def request_api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send an API request with the session cookie, as a page of the site does."""
        headers = {"X-CSRFToken": self.cookies["csrftoken"], "Referer": f"{self.product.origin}/"}
        return self.request(method, path, headers=headers, **options)

    @property
    def is_signed_in(self) -> bool:
        """Whether the product treats this browser as signed in."""
        return self.get("/settings/").status_code == 200

    @property
    def cookie(self) -> str:
        """The Cookie header, for a socket."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


@dataclass
class Person:
    """A person with an account, a browser that is signed in, and a token for programs."""

    product: Product
    id: uuid.UUID
    email: str
    browser: Browser
    token: str = field(repr=False)

    @property
    def bearer(self) -> dict[str, str]:
        """The Authorization header with the person's token."""
        return {"Authorization": f"Bearer {self.token}"}

    def program(self, headers: dict[str, str] | None = None, **options: Any) -> Browser:
        """Return a program with the person's token, at an address of its own."""
        return Browser(self.product, headers=self.bearer | (headers or {}), **options)

    def many_programs(self, **options: Any) -> httpx.AsyncClient:
        """Return an asynchronous client with the person's token."""
        return many_clients(self.product, headers=self.bearer, **options)

    def new_thread(self) -> str:
        """Create a conversation and return its id."""
        with self.program() as program:
            return str(program.post("/api/chatkit/threads", json={}).raise_for_status().json()["thread_id"])


def many_clients(product: Product, *, address: str | None = None, **options: Any) -> httpx.AsyncClient:
    """Return a client that can send any number of requests at once, all from one address."""
    transport = AsyncProxy(product, address or new_address())
    return httpx.AsyncClient(**{"base_url": product.origin, "transport": transport, "timeout": SECONDS, **options})


def new_person(product: Product, name: str = "person", *, staff: bool = False) -> Person:
    """Create a person with an account, and sign them in with a browser and as a program."""
    email = f"{name}-{uuid.uuid4().hex[:8]}@example.com"
    user_id = product.database.add_user(email, staff=staff)
    browser = Browser(product)
    response = browser.sign_in(email)
    assert response.status_code == 302, response.text
    _, token = new_token(browser, "chat", "tasks", *(["sessions"] if staff else []))
    return Person(product, user_id, email, browser, token)


def new_token(browser: Browser, *scopes: str) -> tuple[str, str]:
    """Create a token with these scopes; return its id and the token."""
    body = {"name": "Program", "scopes": scopes}
    created = browser.request_api("POST", "/api/auth/tokens", json=body).raise_for_status().json()
    return created["token_id"], created["access_token"]


@asynccontextmanager
async def open_socket(
    person: Person,
    conversation_id: uuid.UUID | str | None = None,
    **options: Any,
) -> AsyncIterator[LiveSocket]:
    """Open the websocket of a conversation and read it until it is closed."""
    async with connect_socket(person, conversation_id, **options) as connection:
        socket = LiveSocket(connection)
        reading = asyncio.create_task(socket.read())
        try:
            yield socket
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


def connect_socket(
    person: Person,
    conversation_id: uuid.UUID | str | None = None,
    *,
    origin: str | None = "its own",
    bearer: bool = False,
    **options: Any,
) -> connect:
    """Return the websocket connection, for tests that read it themselves or not at all."""
    product = person.product
    sent_origin = product.origin if origin == "its own" else origin
    credentials = person.bearer if bearer else {"Cookie": person.browser.cookie}
    proxied = {"X-Forwarded-For": person.browser.address, "X-Forwarded-Proto": urlsplit(product.origin).scheme}
    return connect(
        f"ws://{urlsplit(product.origin).netloc}/ws/chat/{conversation_id or uuid.uuid4()}/",
        host="127.0.0.1",
        port=product.port,
        origin=None if sent_origin is None else Origin(sent_origin),
        additional_headers={**credentials, **proxied},
        max_size=None,
        proxy=None,
        **options,
    )
