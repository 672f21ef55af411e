"""Staff who may not look into sessions read nobody's words on any page, and find nobody by them."""

import re
from collections import deque
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from chat.models import AgentSession, Conversation, Quarantined, Task, TaskCounter, ToolCall, Turn, TurnStep, User
from chat.tests import talk
from config.tests.support import PASSWORD
from sessions_admin.models import AuditRecord, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions.lifecycle import expire_session, hold_session
from sessions_admin.tests.conftest import GivenSession, remember

SESSIONS = "/admin/chat/agentsession/"
LINK = re.compile(r'(?:href|action|src)="([^"]*)"')
OURS = re.compile("/admin/(?!logout|password)")
VERBS = ("prune", "expire", "clear", "hold", "release", "rebuild")
AT_MOST = 400  # pages


@pytest.fixture
def looker(db: None) -> Client:
    """Staff with every permission but the one to look into sessions."""
    user = User.objects.create_user("looker@example.com", PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.exclude(codename="view_session_items"))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def planted(given_session: GivenSession, owner: User, session_file: Path) -> AgentSession:
    """Words of a person wherever there can be some, each with “sekret” in it."""
    old = given_session(owner, title="sekret of long ago")
    talk.say(old.conversation, "The sekret said long ago")
    cleanup(trigger=Trigger.COMMAND, dry_run=True)
    cleanup(trigger=Trigger.COMMAND)
    session = given_session(owner, title="sekret title")
    talk.say(session.conversation, "Buy the sekret cake", "Bought the sekret cake.", calls=1)
    Conversation.objects.filter(pk=session.conversation_id).update(title="sekret title")
    Turn.objects.update(error_detail="sekret", warning="sekret")
    TurnStep.objects.update(output=[{"content": "sekret"}])
    ToolCall.objects.update(arguments={"title": "sekret"}, output="sekret")
    Task.objects.create(user=owner, number=TaskCounter.take(owner.pk), title="sekret", description="sekret")
    Quarantined.objects.create(session_id=session.session_id, row_id=1, content="sekret row", reason="holds no item")
    remember(session_file, session.session_id, 2)
    hold_session(old.session_id, actor="os:root", reason="A court asked")
    expire_session(session.session_id, actor="os:root", reason="They asked")
    return session


def crawl(browser: Client, *begin: str) -> dict[str, str]:
    """Open all pages of the admin to which links lead; return their text by address."""
    found: dict[str, str] = {}
    ahead = deque(begin)
    while ahead and len(found) < AT_MOST:
        page = ahead.popleft()
        if page in found:
            continue
        answer = browser.get(page)
        found[page] = "" if answer.streaming else answer.text
        found[page] += b"".join(answer).decode() if answer.streaming else ""
        links = (urljoin(page, unescape(link)).partition("#")[0] for link in LINK.findall(found[page]))
        # Of the filters of a list each is tried, but not all of them together.
        ahead.extend(link for link in links if OURS.match(link) and not ("?" in link and "?" in page))
    assert len(found) < AT_MOST
    return found


def test_on_no_page_of_the_admin(looker: Client, planted: AgentSession, owner: User) -> None:
    pages = crawl(looker, "/admin/", f"{SESSIONS}{planted.pk}/inspect/", f"/admin/chat/user/{owner.pk}/do/erase/")
    for verb in VERBS:
        chosen = {"action": verb, "_selected_action": list(AgentSession.objects.values_list("pk", flat=True))}
        pages[verb] = looker.post(SESSIONS, chosen).text
        pages[f"{verb}, refused"] = looker.post(SESSIONS, {**chosen, "confirmed": "yes"}, follow=True).text

    assert [page for page, text in pages.items() if "sekret" in text] == []
    assert len(pages) > 60
    assert all(any(part in page for page in pages) for part in ("/history/", "/change/", "export/csv", "do/deactivate"))
    assert pages["hold"].count("A court asked") == 1  # what staff wrote is theirs to read


def test_nor_by_a_search_or_an_order(looker: Client, planted: AgentSession, staff_client: Client) -> None:
    def found(browser: Client, query: str) -> list[int]:
        return [each.pk for each in browser.get(f"{SESSIONS}?{query}").context["cl"].result_list]

    assert found(looker, "q=sekret") == found(looker, "q=sekret+title") == []
    assert found(staff_client, "q=SEKRET+ti") == [planted.pk]
    assert len(found(looker, "q=owner%40")) == 2
    shown = looker.get(SESSIONS).context["cl"]
    ordered_by = [shown.get_ordering_field(name) for name in shown.list_display]
    assert "conversation__title" not in ordered_by


def test_nor_by_a_program(looker: Client, planted: AgentSession, staff_client: Client) -> None:
    one = f"/api/sessions/{planted.session_id}"

    answers = [looker.get("/api/sessions"), looker.get(one), looker.get(f"{one}?items=true&reason=curious")]

    assert [answer.status_code for answer in answers] == [200, 200, 403]
    assert [answer for answer in answers if "sekret" in answer.text] == []
    assert answers[1].json()["title"] is None
    assert staff_client.get(one).json()["title"] == "sekret title"


def test_nor_in_a_file(looker: Client, planted: AgentSession) -> None:
    form = {"action": "export", "_selected_action": planted.pk, "confirmed": "yes", "reason": "curious"}

    answer = looker.post(SESSIONS, form, follow=True)

    assert not answer.streaming
    assert "sekret" not in answer.text
    assert not AuditRecord.objects.filter(action="export").exists()
