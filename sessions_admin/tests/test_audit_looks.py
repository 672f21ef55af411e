"""A person learns who looked at what the assistant remembers of them."""

import uuid

from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.models import User
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.tests.conftest import GivenSession


def test_a_look_tells_when_which_conversation_and_why(given_session: GivenSession, owner: User) -> None:
    session = given_session(owner, title="Summer party")
    whose, what = owner.pk, session.session_id
    read = audit.record(Action.INSPECT, actor="os:a", person=whose, session_id=what, reason="She asked for help")
    taken = audit.record(Action.EXPORT, actor="os:a", person=whose, session_id=what, reason="For the court")

    newest, oldest = audit.staff_accesses(owner.pk)

    assert oldest == audit.StaffAccess(read.at, session.conversation_id, "Summer party", "She asked for help", False)
    assert newest == audit.StaffAccess(taken.at, session.conversation_id, "Summer party", "For the court", True)


def test_what_showed_nobodys_words_is_no_look_nor_is_what_a_person_did_themselves(owner: User, outsider: User) -> None:
    audit.record(Action.PRUNE, actor="os:tester", person=owner.pk)
    audit.record(Action.EXPORT, actor=audit.user_actor(owner), person=owner.pk)
    audit.record(Action.INSPECT, actor=audit.user_actor(owner), person=outsider.pk)

    assert audit.staff_accesses(owner.pk) == []
    assert len(audit.staff_accesses(outsider.pk)) == 1


def test_a_look_stays_when_the_conversation_is_deleted(given_session: GivenSession, owner: User) -> None:
    session = given_session(owner)
    audit.record(Action.INSPECT, actor="os:tester", person=owner.pk, session_id=session.session_id)
    audit.record(Action.EXPORT, actor="os:tester", person=owner.pk)
    session.conversation.delete()

    looks = audit.staff_accesses(owner.pk)

    assert [(look.conversation_id, look.title) for look in looks] == [
        (None, "All conversations"),
        (None, "A deleted conversation"),
    ]


def test_the_newest_are_found_with_two_queries_however_many_there_are(given_session: GivenSession, owner: User) -> None:
    ids = [given_session(owner, title=str(n)).session_id for n in range(3)]
    for session_id in ids:
        audit.record(Action.INSPECT, actor="os:tester", person=owner.pk, session_id=session_id)

    with CaptureQueriesContext(connection) as queries:
        looks = audit.staff_accesses(owner.pk, limit=2)

    assert [look.title for look in looks] == ["2", "1"]
    assert len(queries) == 2
    assert audit.staff_accesses(uuid.uuid4()) == []
