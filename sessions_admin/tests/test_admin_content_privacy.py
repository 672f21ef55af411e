"""Staff without `view_session_items` see no user content on any page, and cannot search by it."""

import re
from collections import deque
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from chat.models import AgentSession, Conversation, Quarantined, Task, TaskCounter, ToolCall, Turn, TurnStep, User
from chat.tests import stored_turns
from config.tests.support import PASSWORD
from sessions_admin.models import AuditRecord, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions.lifecycle import expire_session, hold_session
from sessions_admin.tests.conftest import MakeSession, append_items

SESSIONS = "/admin/chat/agentsession/"
LINK = re.compile(r'(?:href|action|src)="([^"]*)"')
ADMIN_URL = re.compile("/admin/(?!logout|password)")
VERBS = ("prune", "expire", "clear", "hold", "release", "rebuild")
MAX_PAGES = 400


@pytest.fixture
def limited_client(db: None) -> Client:
    """Staff with every permission except `view_session_items`."""
    user = User.objects.create_user("looker@example.com", PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.exclude(codename="view_session_items"))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def secret_session(make_session: MakeSession, owner: User, session_file: Path) -> AgentSession:
    """A session of a user whose content contains “sekret” wherever it is stored."""
    old = make_session(owner, title="sekret of long ago")
    stored_turns.add_turn(old.conversation, "The sekret said long ago")
    cleanup(trigger=Trigger.COMMAND, dry_run=True)
    cleanup(trigger=Trigger.COMMAND)
    session = make_session(owner, title="sekret title")
    stored_turns.add_turn(session.conversation, "Buy the sekret cake", "Bought the sekret cake.", calls=1)
    Conversation.objects.filter(pk=session.conversation_id).update(title="sekret title")
    Turn.objects.update(error_detail="sekret", warning="sekret")
    TurnStep.objects.update(output=[{"content": "sekret"}])
    ToolCall.objects.update(arguments={"title": "sekret"}, output="sekret")
    Task.objects.create(user=owner, number=TaskCounter.take(owner.pk), title="sekret", description="sekret")
    Quarantined.objects.create(session_id=session.session_id, row_id=1, content="sekret row", reason="holds no item")
    append_items(session_file, session.session_id, 2)
    hold_session(old.session_id, actor="os:root", reason="A court asked")
    expire_session(session.session_id, actor="os:root", reason="They asked")
    return session


def crawl(browsing_client: Client, *start: str) -> dict[str, str]:
    """Follow all links within the admin; return the text of the pages by URL."""
    found: dict[str, str] = {}
    pending = deque(start)
    while pending and len(found) < MAX_PAGES:
        page = pending.popleft()
        if page in found:
            continue
        response = browsing_client.get(page)
        found[page] = "" if response.streaming else response.text
        found[page] += b"".join(response).decode() if response.streaming else ""
        links = (urljoin(page, unescape(link)).partition("#")[0] for link in LINK.findall(found[page]))
        # Each filter of a list is followed, but not their combinations.
        pending.extend(link for link in links if ADMIN_URL.match(link) and not ("?" in link and "?" in page))
    assert len(found) < MAX_PAGES
    return found


def test_admin_pages_show_no_user_content(limited_client: Client, secret_session: AgentSession, owner: User) -> None:
    pages = crawl(
        limited_client, "/admin/", f"{SESSIONS}{secret_session.pk}/inspect/", f"/admin/chat/user/{owner.pk}/do/erase/"
    )
    for verb in VERBS:
        chosen = {"action": verb, "_selected_action": list(AgentSession.objects.values_list("pk", flat=True))}
        pages[verb] = limited_client.post(SESSIONS, chosen).text
        pages[f"{verb}, refused"] = limited_client.post(SESSIONS, {**chosen, "confirmed": "yes"}, follow=True).text

    assert [page for page, text in pages.items() if "sekret" in text] == []
    assert len(pages) > 60
    assert all(any(part in page for page in pages) for part in ("/history/", "/change/", "export/csv", "do/deactivate"))
    assert pages["hold"].count("A court asked") == 1  # a reason that staff wrote is no user content


def test_search_and_ordering_ignore_titles(
    limited_client: Client, secret_session: AgentSession, staff_client: Client
) -> None:
    def found(browsing_client: Client, query: str) -> list[int]:
        return [each.pk for each in browsing_client.get(f"{SESSIONS}?{query}").context["cl"].result_list]

    assert found(limited_client, "q=sekret") == found(limited_client, "q=sekret+title") == []
    assert found(staff_client, "q=SEKRET+ti") == [secret_session.pk]
    assert len(found(limited_client, "q=owner%40")) == 2
    shown = limited_client.get(SESSIONS).context["cl"]
    ordered_by = [shown.get_ordering_field(name) for name in shown.list_display]
    assert "conversation__title" not in ordered_by


def test_api_returns_no_user_content(
    limited_client: Client, secret_session: AgentSession, staff_client: Client
) -> None:
    session_url = f"/api/sessions/{secret_session.session_id}"

    responses = [
        limited_client.get("/api/sessions"),
        limited_client.get(session_url),
        limited_client.get(f"{session_url}?items=true&reason=curious"),
    ]

    assert [response.status_code for response in responses] == [200, 200, 403]
    assert [response for response in responses if "sekret" in response.text] == []
    assert responses[1].json()["title"] is None
    assert staff_client.get(session_url).json()["title"] == "sekret title"


def test_export_is_refused(limited_client: Client, secret_session: AgentSession) -> None:
    form = {"action": "export", "_selected_action": secret_session.pk, "confirmed": "yes", "reason": "curious"}

    response = limited_client.post(SESSIONS, form, follow=True)

    assert not response.streaming
    assert "sekret" not in response.text
    assert not AuditRecord.objects.filter(action="export").exists()
