"""The audit is written once, and never changed or removed by anybody."""

import pytest
from django.db import Error, connection, transaction
from django.test import Client

from chat.models import User
from sessions_admin.models import AuditRecord
from sessions_admin.sessions import lifecycle
from sessions_admin.tests.conftest import GivenSession

AUDIT = "/admin/sessions_admin/auditrecord/"


@pytest.fixture
def record(given_session: GivenSession, owner: User) -> AuditRecord:
    """Something that was done."""
    lifecycle.hold_session(given_session(owner).session_id, actor="os:tester", reason="asked for")
    return AuditRecord.objects.get()


@pytest.mark.parametrize(
    "statement",
    ["UPDATE sessions_admin_auditrecord SET actor = 'nobody'", "DELETE FROM sessions_admin_auditrecord"],
)
def test_the_database_refuses_to_change_it(record: AuditRecord, statement: str) -> None:
    with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)

    assert AuditRecord.objects.get().actor == "os:tester"


def test_a_superuser_reads_it_and_changes_nothing(record: AuditRecord, staff_client: Client) -> None:
    assert staff_client.get(AUDIT).status_code == 200
    page = staff_client.get(f"{AUDIT}{record.pk}/change/")
    assert page.status_code == 200
    assert "asked for" in page.content.decode()
    assert staff_client.get(f"{AUDIT}add/").status_code == 403
    assert staff_client.post(f"{AUDIT}{record.pk}/change/", {"actor": "nobody"}).status_code == 403
    assert staff_client.post(f"{AUDIT}{record.pk}/delete/", {"post": "yes"}).status_code == 403
    assert AuditRecord.objects.get().actor == "os:tester"


def test_it_names_no_address_and_no_title(record: AuditRecord, owner: User) -> None:
    kept = str(AuditRecord.objects.values().get())
    assert owner.email not in kept
    assert "Party" not in kept
    assert str(owner.pk) in kept
