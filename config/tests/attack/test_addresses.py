"""Who is asking: no client chooses the address that it is counted under, or the name that links are made of."""

import asyncio
import contextlib

import httpx
from websockets.exceptions import InvalidStatus

from config.tests.attack.clients import Browser, Person, connect_socket, many_clients
from config.tests.attack.mail import Mailbox
from config.tests.attack.marks import on_product, quick
from config.tests.attack.product import HOST, ORIGIN, Product

pytestmark = on_product

# Requests at once: more than an address may make in the minute that a busy machine takes for them.
MANY = 250
ODD_ADDRESSES = [
    "1.2.3.4:5678",
    "unknown",
    "_hidden",
    "",
    ",",
    ", ,",
    "[2001:db8::1]:80",
    "2001:db8::1%eth0",
    "999.1.1.1",
    "1.2.3.4, unknown",
    "0x7f000001",
    "a" * 4_000,
    ",".join(["1.2.3.4"] * 500),
    "é",
]


@quick
def test_odd_addresses_never_end_in_an_error(product: Product) -> None:
    with httpx.Client(base_url=product.url, headers={"Host": HOST, "X-Forwarded-Proto": "https"}) as client:
        for odd in ODD_ADDRESSES:
            header = [(b"X-Forwarded-For", odd.encode())]
            for method, path in [("GET", "/accounts/login/"), ("GET", "/api/tasks"), ("POST", "/api/auth/login")]:
                answer = client.request(method, path, headers=header, json={})
                assert answer.status_code < 500, (odd, path, answer.status_code)


async def test_what_a_client_puts_before_the_proxy_s_entry_does_not_count(product: Product) -> None:
    async with many_clients(product) as client:
        requests = (client.get("/api/tasks", headers={"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(MANY))
        statuses = [answer.status_code for answer in await asyncio.gather(*requests)]
    assert set(statuses) == {401, 429}
    assert statuses.count(401) >= 120


async def test_nobody_is_limited_for_somebody_else(product: Product) -> None:
    victim = "203.0.113.9"
    async with many_clients(product) as attacker:
        forged = (attacker.get("/api/tasks", headers={"X-Forwarded-For": victim}) for _ in range(MANY))
        assert 429 in {answer.status_code for answer in await asyncio.gather(*forged)}
    async with many_clients(product, address=victim) as client:
        assert (await client.get("/api/tasks")).status_code == 401


async def test_addresses_of_one_ipv6_network_count_together(product: Product) -> None:
    async def request(n: int) -> int:
        async with many_clients(product, address=f"2001:db8:1:2::{n:x}") as client:
            return (await client.get("/api/tasks")).status_code

    assert 429 in await asyncio.gather(*map(request, range(MANY)))


@quick
async def test_sockets_open_for_pages_of_the_very_same_origin_only(person: Person) -> None:
    origins = [
        f"http://{HOST}",
        f"{ORIGIN}:8443",
        f"https://{HOST}.evil.test",
        f"https://evil.test/{HOST}",
        f"https://evil.test#@{HOST}",
        "https://evil.test",
        f"ftp://{HOST}",
        f"//{HOST}",
        HOST,
        "null",
        "http://localhost",
        f"https://{HOST}@evil.test",
        f"https://evil.test@{HOST}",
        "https://[",
    ]
    opened = []
    for origin in [*origins, None]:
        with contextlib.suppress(InvalidStatus):
            async with connect_socket(person, origin=origin):
                opened.append(origin)
    assert opened == []
    async with connect_socket(person, origin=ORIGIN) as connection:
        assert "ready" in str(await connection.recv())


@quick
def test_links_in_mails_name_the_public_address_whatever_host_was_asked(
    product: Product, mailbox: Mailbox, person: Person
) -> None:
    with Browser(product) as browser:
        page = browser.get("/accounts/reset/")
        assert page.status_code == 200
        fields = {"email": person.email, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        headers = {"Host": "localhost", "X-Forwarded-Host": "evil.test", "Referer": "https://localhost/accounts/reset/"}
        headers["Cookie"] = f"csrftoken={browser.cookies['csrftoken']}"
        answer = browser.post("/accounts/reset/", data=fields, headers=headers)
    assert answer.status_code == 302
    assert mailbox.link_to(person.email).startswith(f"{ORIGIN}/")


def test_health_is_answered_under_any_name_and_pages_are_not(product: Product) -> None:
    for host in ["evil.test", "10.1.2.3", "x" * 300, "a b", "[::1", f"{HOST}:99999"]:
        for path in ["/healthz", "/readyz"]:
            answer = httpx.get(f"{product.url}{path}", headers={"Host": host})
            assert answer.status_code == 200, (host, path, answer.text)
            assert host not in answer.text
        for path in ["/accounts/login/", "/api/tasks", "/admin/", "/nothing", "/static/css/app.css"]:
            answer = httpx.get(f"{product.url}{path}", headers={"Host": host})
            assert answer.status_code < 500, (host, path)
