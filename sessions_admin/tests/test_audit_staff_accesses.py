"""Users see when and why staff accessed the content of their sessions."""

import uuid

from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.models import User
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.tests.conftest import MakeSession


def test_access_has_time_conversation_and_reason(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner, title="Summer party")
    owner_id, inspected_id = owner.pk, session.session_id
    read = audit.record(
        Action.INSPECT, actor="os:a", person=owner_id, session_id=inspected_id, reason="She asked for help"
    )
    exported = audit.record(
        Action.EXPORT, actor="os:a", person=owner_id, session_id=inspected_id, reason="For the court"
    )

    newest, oldest = audit.staff_accesses(owner.pk)

    assert oldest == audit.StaffAccess(read.at, session.conversation_id, "Summer party", "She asked for help", False)
    assert newest == audit.StaffAccess(exported.at, session.conversation_id, "Summer party", "For the court", True)


def test_actions_without_content_and_own_actions_are_not_listed(owner: User, outsider: User) -> None:
    audit.record(Action.PRUNE, actor="os:tester", person=owner.pk)
    audit.record(Action.EXPORT, actor=audit.user_actor(owner), person=owner.pk)
    audit.record(Action.INSPECT, actor=audit.user_actor(owner), person=outsider.pk)

    assert audit.staff_accesses(owner.pk) == []
    assert len(audit.staff_accesses(outsider.pk)) == 1


def test_access_stays_listed_after_the_conversation_is_deleted(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)
    audit.record(Action.INSPECT, actor="os:tester", person=owner.pk, session_id=session.session_id)
    audit.record(Action.EXPORT, actor="os:tester", person=owner.pk)
    session.conversation.delete()

    accesses = audit.staff_accesses(owner.pk)

    assert [(access.conversation_id, access.title) for access in accesses] == [
        (None, "All conversations"),
        (None, "A deleted conversation"),
    ]


def test_newest_accesses_take_two_queries(make_session: MakeSession, owner: User) -> None:
    ids = [make_session(owner, title=str(n)).session_id for n in range(3)]
    for session_id in ids:
        audit.record(Action.INSPECT, actor="os:tester", person=owner.pk, session_id=session_id)

    with CaptureQueriesContext(connection) as queries:
        accesses = audit.staff_accesses(owner.pk, limit=2)

    assert [access.title for access in accesses] == ["2", "1"]
    assert len(queries) == 2
    assert audit.staff_accesses(uuid.uuid4()) == []
