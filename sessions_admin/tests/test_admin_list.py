"""The list of sessions: filters, search, date hierarchy, and a bounded number of queries."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from chat.models import AgentSession, User
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, queries_of
from sessions_admin.tests.sample_data import insert_sample_data

SESSIONS = "/admin/chat/agentsession/"


def found(client: Client, **filters: str) -> list[str]:
    """Return the titles of the listed sessions."""
    return [str(each.conversation) for each in client.get(SESSIONS, filters).context["cl"].result_list]


@pytest.mark.parametrize(
    ("days", "shown"),
    [(0, ["week", "month"]), (5, ["week", "month"]), (20, ["month"]), (31, ["older"])],
)
def test_list_is_filtered_by_activity(
    viewer_client: Client, make_session: MakeSession, owner: User, days: int, shown: list[str]
) -> None:
    make_session(owner, idle=timedelta(days=days))

    windows = [window for window in ("week", "month", "older") if found(viewer_client, activity=window)]

    assert windows == shown
    assert bool(found(viewer_client, activity="today")) == (days == 0)


@pytest.mark.parametrize(
    ("size", "window"),
    [
        (0, "small"),
        (10_239, "small"),
        (10_240, "middle"),
        (102_400, "large"),
        (1_048_575, "large"),
        (1_048_576, "huge"),
    ],
)
def test_list_is_filtered_by_size(
    viewer_client: Client, make_session: MakeSession, owner: User, size: int, window: str
) -> None:
    make_session(owner)
    AgentSession.objects.update(byte_count=size)

    assert [each for each in ("small", "middle", "large", "huge") if found(viewer_client, size=each)] == [window]


def test_list_is_filtered_by_hold(viewer_client: Client, make_session: MakeSession, owner: User) -> None:
    ends = {"Soon": timedelta(days=6), "Later": timedelta(days=8), "For ever": None}
    for title, end in ends.items():
        until = timezone.now() + end if end else None
        hold_session(make_session(owner, title=title).session_id, actor="os:tester", reason="asked", until=until)
    make_session(owner, title="Free")

    assert set(found(viewer_client, hold="held")) == {"Soon", "Later", "For ever"}
    assert found(viewer_client, hold="ends") == ["Soon"]
    assert found(viewer_client, hold="free") == ["Free"]


def test_list_is_filtered_by_person_and_shows_the_filter(
    viewer_client: Client, make_session: MakeSession, owner: User, outsider: User
) -> None:
    make_session(owner, title="Mine")
    make_session(outsider, title="Theirs")

    assert found(viewer_client, user__id__exact=str(owner.pk)) == ["Mine"]
    assert "By person" in viewer_client.get(SESSIONS, {"user__id__exact": str(owner.pk)}).text
    assert "By person" not in viewer_client.get(SESSIONS).text
    assert found(viewer_client, user__id__exact=str(uuid.uuid4())) == []
    assert found(viewer_client, user__id__exact="nobody") == []


def test_search_matches_full_ids_and_email_prefixes(
    viewer_client: Client, make_session: MakeSession, owner: User, outsider: User
) -> None:
    session = make_session(owner, title="Mine")
    make_session(outsider, title="Theirs")

    for term in (session.session_id, str(session.conversation_id), str(owner.pk), f" {owner.pk} ", "OWNER@ex"):
        assert found(viewer_client, q=term) == ["Mine"]
    assert found(viewer_client, q=session.session_id[:-1]) == []


def test_date_hierarchy_leads_from_year_to_day_and_back(
    viewer_client: Client, make_session: MakeSession, owner: User
) -> None:
    for day in (datetime(2024, 11, 3, tzinfo=UTC), datetime(2026, 1, 30, tzinfo=UTC), datetime(2026, 2, 2, tzinfo=UTC)):
        session = make_session(owner, title=f"{day:%Y-%m-%d}")
        AgentSession.objects.filter(pk=session.pk).update(last_activity_at=day)

    def date_navigation(**filters: str) -> str:
        page = viewer_client.get(SESSIONS, filters).text
        shown = re.search(r'<nav class="toplinks">(.*?)</nav>', page, re.DOTALL)
        assert shown
        return shown[1]

    def links(**filters: str) -> list[str]:
        return [" ".join(link.split()) for link in re.findall(r"<a [^>]*>([^<]*)</a>", date_navigation(**filters))]

    at = "last_activity_at__"
    assert links() == ["2024", "2025", "2026"]
    assert links(**{f"{at}year": "2026"}) == ["‹ All dates".replace("‹", "&lsaquo;"), "January 2026", "February 2026"]
    assert links(**{f"{at}year": "2026", f"{at}month": "2"}) == ["&lsaquo; 2026", "February 1", "February 2"]
    day_filter = {f"{at}year": "2026", f"{at}month": "2", f"{at}day": "2"}
    assert links(**day_filter) == ["&lsaquo; February 2026"]
    assert "February 2" in date_navigation(**day_filter) and "February 1" not in date_navigation(**day_filter)
    assert found(viewer_client, **day_filter) == ["2026-02-02"]
    assert found(viewer_client, **{f"{at}year": "2026"}) == ["2026-02-02", "2026-01-30"]


def test_number_of_queries_does_not_grow_with_sessions(make_staff_client: MakeStaffClient, owner: User) -> None:
    viewer_client = make_staff_client("view_session_items")
    insert_sample_data(people=300, sessions=6_000, turns=0)  # the paginator counts at most 5,000
    pages = {
        "all": {},
        **{f"state {state}": {"state": state} for state in ("active", "idle", "due", "held", "quarantined", "gone")},
        "older": {"activity": "older"},
        "large": {"size": "large"},
        "hold ends": {"hold": "ends"},
        "a year": {"last_activity_at__year": "2026"},
        "page 90": {"p": "90"},
        "an address": {"q": "person47@"},
        "a title": {"q": "plans 99"},
        "nothing like it": {"q": "no such words"},
        "a session": {"q": AgentSession.objects.values_list("session_id", flat=True)[500]},
        "by person": {"o": "2"},
        "by state": {"o": "3"},
    }
    viewer_client.get(SESSIONS)

    for name, filters in pages.items():
        queries = queries_of(viewer_client, f"{SESSIONS}?{urlencode(filters)}")
        assert len(queries) <= 7, (name, [query[:200] for query in queries])
        counts = [query for query in queries if "COUNT(*)" in query]
        assert [query for query in counts if "LIMIT 5001" not in query] == [], name  # no count without a limit
        assert not any("DISTINCT" in query for query in queries), name

    page = viewer_client.get(SESSIONS)
    assert "The first 5000 agent sessions; narrow the list to see others" in " ".join(page.text.split())
    assert "5000 results" not in page.text
    assert page.context["cl"].paginator.num_pages == 100
