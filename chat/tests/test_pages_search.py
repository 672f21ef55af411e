"""The search page works without scripts: it marks the matches and links to the messages."""

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from chat.models import User
from chat.tests import stored_turns

pytestmark = pytest.mark.django_db


def results(client: Client, path: str) -> list[tuple[str, str]]:
    """Return the link and the text of each result, with the matches in brackets."""
    page = client.get(path).content.decode()
    found = re.findall(r'<a class="result"[^>]*href="([^"]+)">(.*?)</a>', page, flags=re.S)
    texts = [re.sub(r"<mark>(.*?)</mark>", r"[\1]", text) for _, text in found]
    shown = [" ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split()) for text in texts]
    return [(html.unescape(link), text) for (link, _), text in zip(found, shown, strict=True)]


def test_result_marks_the_matches_and_links_to_the_message(owner: User, owner_client: Client) -> None:
    groceries = stored_turns.conversation(owner, "Groceries for the party")
    message = stored_turns.add_turn(groceries, "Add <b>milk</b> & bread for the parties").prompt
    ((link, shown),) = results(owner_client, "/search/?q=party+milk")
    assert link == f"/c/{groceries.pk}/?message={message.pk}#message-{message.pk}"
    assert re.fullmatch(
        r"Groceries for the \[party\] \d+ \w+ \d{4} Add <b>\[milk\]</b> & bread for the \[parties\]", shown
    )
    page = owner_client.get(link).content.decode()
    assert f'id="message-{message.pk}"' in page


def test_match_in_the_title_links_to_the_chat(owner: User, owner_client: Client) -> None:
    groceries = stored_turns.conversation(owner, "Groceries")
    groceries.archived_at = timezone.now()
    groceries.save()
    ((link, shown),) = results(owner_client, "/search/?q=groc")
    assert link == f"/c/{groceries.pk}/"
    assert shown.startswith("[Groceries] Archived, ")


def test_pagination_reaches_all_results(owner: User, owner_client: Client) -> None:
    for n in range(60):
        stored_turns.conversation(owner, f"Milk {n}", at=timezone.now() - timedelta(minutes=n % 5))
    first = owner_client.get("/search/?q=milk").content.decode()
    more = re.search(r'<p class="more"><a href="([^"]+)"', first)
    assert more
    rest = results(owner_client, f"/search/{html.unescape(more[1])}")
    assert len({link for link, _ in rest + results(owner_client, "/search/?q=milk")}) == 60
    assert len(rest) == 10


def test_empty_results_and_invalid_queries_are_reported(owner_client: Client, client: Client) -> None:
    assert "No chats found." in owner_client.get("/search/?q=milk").content.decode()
    long = owner_client.get("/search/", {"q": "x" * 201})
    assert (long.status_code, "at most 200 characters" in long.content.decode()) == (400, True)
    assert owner_client.get("/search/?q=a&after=x").status_code == 400
    attack = '"><script>alert(1)</script>'
    assert attack not in owner_client.get("/search/", {"q": attack}).content.decode()
    assert client.get("/search/?q=milk").status_code == 302
