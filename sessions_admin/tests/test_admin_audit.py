"""The audit log in the admin: filters, search, links and export."""

import csv
import io
import json
import re
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import AsyncRequestFactory, Client
from django.test.utils import CaptureQueriesContext

from chat.exceptions import Conflict
from chat.models import User
from config.tests.support import PASSWORD
from sessions_admin import audit
from sessions_admin.admin.streams import attachment
from sessions_admin.models import Action, AuditRecord
from sessions_admin.people.erase import erase_person
from sessions_admin.sessions.lifecycle import clear_session, hold_session, release_session
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient

AUDIT = "/admin/sessions_admin/auditrecord/"
FORMULA = '=HYPERLINK("http://bad.example")'


@pytest.fixture
def reader(make_staff_client: MakeStaffClient) -> Client:
    """Staff who may view the audit log, and nothing else."""
    return make_staff_client("view_auditrecord")


def reasons(client: Client, **filters: str) -> list[str]:
    """Return the reasons of the listed records."""
    return [record.reason for record in client.get(AUDIT, filters).context["cl"].result_list]


def exported(client: Client, kind: str, **filters: str) -> str:
    """Return the exported list."""
    response = client.get(f"{AUDIT}export/{kind}/", filters)
    assert response.status_code == 200
    return b"".join(response).decode()


def test_list_is_filtered_by_action_actor_person_session_and_date(
    reader: Client, owner: User, outsider: User, staff: User
) -> None:
    audit.record(Action.HOLD, actor=audit.user_actor(staff), person=owner.pk, session_id="s1", reason="one")
    audit.record(Action.CLEAR, actor="os:root", person=outsider.pk, session_id="s2", reason="two")

    assert reasons(reader) == ["two", "one"]
    assert reasons(reader, action="hold") == ["one"]
    assert reasons(reader, actor=str(staff.pk)) == ["one"]
    assert reasons(reader, actor="os") == ["two"]
    assert reasons(reader, actor="os:root") == ["two"]
    assert reasons(reader, person=str(owner.pk)) == ["one"]
    assert reasons(reader, session_id="s2") == ["two"]
    assert reasons(reader, at__year="1999") == []


def test_list_shows_the_outcome_of_each_action(reader: Client, owner: User, make_session: MakeSession) -> None:
    session = make_session(owner)
    hold_session(session.session_id, actor="os:root", reason="asked for")
    with pytest.raises(Conflict):
        clear_session(session.session_id, actor="os:root")
    release_session(session.session_id, actor="os:root")
    erase_person(owner.pk, actor="os:root", reason="asked for")

    shown = re.findall(r'field-action">(\w+)<.*?field-outcome">(.*?)<', reader.get(AUDIT).text)

    refused = "Not done: This session is held; release it first."
    assert shown == [
        *(("Erase", "Done"), ("Erase", "Begun"), ("Release", "Done"), ("Clear", refused), ("Hold", "Done"))
    ]


def test_search_by_email_finds_records_that_store_only_ids(reader: Client, owner: User, staff: User) -> None:
    audit.record(Action.HOLD, actor=audit.user_actor(staff), person=owner.pk, reason="one")
    audit.record(Action.HOLD, actor="os:root", reason="two")

    assert reasons(reader, q="Owner@example.com") == reasons(reader, q="staff@example.com") == ["one"]
    assert reasons(reader, q="nobody@example.com") == []
    assert reasons(reader, q="os:root") == ["two"]
    assert reasons(reader, q=str(owner.pk)) == ["one"]


def test_people_are_linked_by_email_without_a_query_per_record(
    reader: Client, owner: User, make_session: MakeSession
) -> None:
    session = make_session(owner)
    audit.record(Action.HOLD, actor="os:root", person=owner.pk, session_id=session.session_id)
    with CaptureQueriesContext(connection) as one:
        page = reader.get(AUDIT).text
    assert f'href="{AUDIT}?person={owner.pk}">owner@example.com</a>' in page
    assert f'href="/admin/chat/agentsession/?q={session.session_id}"' in page
    for n in range(5):
        user = User.objects.create_user(f"someone{n}@example.com", PASSWORD)
        audit.record(Action.HOLD, actor=audit.user_actor(user), person=user.pk)

    with CaptureQueriesContext(connection) as many:
        assert "someone4@example.com" in reader.get(AUDIT).text

    assert len(many) == len(one)


def test_session_and_user_pages_link_to_their_records(
    staff_client: Client, owner: User, make_session: MakeSession
) -> None:
    session = make_session(owner)

    assert (
        f"{AUDIT}?session_id={session.session_id}"
        in staff_client.get(f"/admin/chat/agentsession/{session.pk}/change/").text
    )
    page = staff_client.get(f"/admin/chat/user/{owner.pk}/change/").text
    assert f"{AUDIT}?person={owner.pk}" in page
    assert f"/admin/chat/agentsession/?user__id__exact={owner.pk}" in page


def test_export_contains_the_filtered_records(reader: Client, owner: User) -> None:
    audit.record(Action.HOLD, actor="os:root", person=owner.pk, reason="one", items=3)
    audit.record(Action.CLEAR, actor="os:root", reason="two")

    table = list(csv.DictReader(io.StringIO(exported(reader, "csv", action="hold"))))
    (found,) = json.loads(exported(reader, "json", person=str(owner.pk)))

    assert [(row["action"], row["reason"], row["result"]) for row in table] == [("hold", "one", '{"items": 3}')]
    assert (found["action"], found["person"], found["result"]) == ("hold", str(owner.pk), {"items": 3})
    assert len(json.loads(exported(reader, "json"))) == 2
    link = re.search(rf'href="({AUDIT}export/csv/[^"]*)"', reader.get(AUDIT, {"action": "hold"}).text)
    assert link
    assert link[1].endswith("?action=hold")


@pytest.mark.parametrize("text", [FORMULA, "+1", "-1", "@SUM(A1)", "\t=1", " =1"])
def test_csv_export_escapes_formulas(reader: Client, text: str) -> None:
    AuditRecord.objects.create(action=Action.HOLD, actor="os:root", reason=text)

    (row,) = csv.DictReader(io.StringIO(exported(reader, "csv")))

    assert row["reason"] == f"'{text}"
    assert json.loads(exported(reader, "json"))[0]["reason"] == text


def test_records_are_read_in_batches(db: None) -> None:
    for n in range(5):
        audit.record(Action.HOLD, actor="os:root", reason=str(n))

    with CaptureQueriesContext(connection) as queries:
        found = [record.reason for record in audit.iterate(AuditRecord.objects.all(), size=2)]

    assert found == ["4", "3", "2", "1", "0"]
    assert all("LIMIT 2" in query["sql"] for query in queries)


def test_unknown_export_format_or_filter_is_rejected(reader: Client) -> None:
    assert reader.get(f"{AUDIT}export/xml/").status_code == 403
    assert reader.get(f"{AUDIT}export/csv/", {"action__nothing": "x"}).status_code == 400


async def test_attachment_is_streamed_under_asgi() -> None:
    read: list[str] = []

    def chunks() -> Iterator[str]:
        for chunk in ("one", "two"):
            read.append(chunk)
            yield chunk

    response = attachment(AsyncRequestFactory().get("/"), chunks(), name="audit.csv", kind="text/csv")

    stream = aiter(response)
    assert await anext(stream) == b"one"
    assert read == ["one"]
    assert [chunk async for chunk in stream] == [b"two"]
