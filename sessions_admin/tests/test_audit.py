"""Audit records cannot be changed or deleted."""

import pytest
from django.db import Error, connection, transaction
from django.test import Client

from chat.models import User
from sessions_admin.models import AuditRecord
from sessions_admin.sessions import lifecycle
from sessions_admin.tests.conftest import MakeSession

AUDIT = "/admin/sessions_admin/auditrecord/"


@pytest.fixture
def record(make_session: MakeSession, owner: User) -> AuditRecord:
    """The record of a hold."""
    lifecycle.hold_session(make_session(owner).session_id, actor="os:tester", reason="asked for")
    return AuditRecord.objects.get()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE sessions_admin_auditrecord SET actor = 'nobody'", "DELETE FROM sessions_admin_auditrecord"],
)
def test_database_rejects_changes_to_records(record: AuditRecord, statement: str) -> None:
    with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditRecord.objects.get().actor == "os:tester"


def test_superuser_can_read_but_not_change_records(record: AuditRecord, staff_client: Client) -> None:
    assert staff_client.get(AUDIT).status_code == 200
    page = staff_client.get(f"{AUDIT}{record.pk}/change/")
    assert page.status_code == 200
    assert "asked for" in page.content.decode()
    assert staff_client.get(f"{AUDIT}add/").status_code == 403
    assert staff_client.post(f"{AUDIT}{record.pk}/change/", {"actor": "nobody"}).status_code == 403
    assert staff_client.post(f"{AUDIT}{record.pk}/delete/", {"post": "yes"}).status_code == 403
    assert AuditRecord.objects.get().actor == "os:tester"


def test_record_contains_no_email_and_no_title(record: AuditRecord, owner: User) -> None:
    fields = str(AuditRecord.objects.values().get())
    assert owner.email not in fields
    assert "Party" not in fields
    assert str(owner.pk) in fields
