"""What each group of staff may do is what the table in docs/reference/permissions.md says."""

from collections.abc import Callable
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.utils import timezone

from chat.models import User
from config.tests.support import PASSWORD, ROOT
from sessions_admin.admin.session_verbs import VERBS
from sessions_admin.models import Action, AuditRecord, CleanupRun, RunStatus, Trigger
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.tests.conftest import GivenSession

SESSIONS, RUNS, USERS = "/admin/chat/agentsession/", "/admin/sessions_admin/cleanuprun/", "/admin/chat/user/"
AUDIT = "/admin/sessions_admin/auditrecord/"


class World:
    """Whom and what staff may try their hands on; each answer is whether all of it worked, or none of it."""

    def __init__(self, browser: Client, given: GivenSession) -> None:
        self.browser = browser
        self.given = given
        self.person = User.objects.create_user("person@example.com", PASSWORD)
        self.session = given(self.person)

    def opens(self, *pages: str) -> bool:
        answers = [self.browser.get(page).status_code for page in pages]
        assert set(answers) in ({200}, {403}), dict(zip(pages, answers, strict=True))
        return answers[0] == 200

    def sends(self, page: str, **fields: object) -> bool:
        return self.browser.post(page, fields).status_code in (200, 302)

    def sees_sessions(self) -> bool:
        return self.opens(SESSIONS, f"{SESSIONS}{self.session.pk}/change/")

    def sees_quarantine(self) -> bool:
        return self.opens("/admin/chat/quarantined/")

    def sees_runs(self) -> bool:
        return self.opens(RUNS)

    def uses_verbs(self) -> bool:
        done = []
        for verb in (verb for verb in VERBS if verb.name != Action.EXPORT):
            session = self.given(self.person)
            if verb.name == Action.RELEASE:
                hold_session(session.session_id, actor="os:tester", reason="asked for")
            self.browser.post(
                SESSIONS, {"action": verb.name.value, "_selected_action": session.pk, "confirmed": "yes", "reason": "x"}
            )
            done.append(AuditRecord.objects.filter(action=verb.name, session_id=session.session_id).exists())
        assert len(set(done)) == 1, done
        return done[0]

    def runs_cleanups(self) -> bool:
        CleanupRun.objects.all().delete()
        run = CleanupRun.objects.create(
            trigger=Trigger.ADMIN, status=RunStatus.RUNNING, started_at=timezone.now(), heartbeat_at=timezone.now()
        )
        stopped = self.sends(f"{RUNS}{run.pk}/stop/", confirmed="yes")
        run.refresh_from_db()
        assert stopped == (run.status != RunStatus.RUNNING)
        done = [stopped, self.sends(f"{RUNS}preview/"), self.opens(f"{RUNS}run/")]
        assert len(set(done)) == 1, done
        return done[0]

    def sees_people(self) -> bool:
        return self.opens(USERS, f"{USERS}{self.person.pk}/change/")

    def sees_usage(self) -> bool:
        return self.opens("/admin/chat/modelusage/")

    def deactivates(self) -> bool:
        for action, active in (("deactivate", False), ("reactivate", True)):
            fields = {"action": action, "_selected_action": self.person.pk, "confirmed": "yes", "reason": "x"}
            self.browser.post(USERS, fields)
            self.person.refresh_from_db()
            if self.person.is_active != active:
                return False
        return True

    def looks_into(self) -> bool:
        answer = self.browser.post(f"{SESSIONS}{self.session.pk}/inspect/", {"reason": "She asked"})
        assert ("message 1 of the party" in answer.text) == (answer.status_code == 200)
        return answer.status_code == 200

    def exports(self) -> bool:
        fields = {"action": "export", "_selected_action": self.session.pk, "confirmed": "yes", "reason": "She asked"}
        answer = self.browser.post(SESSIONS, fields)
        return "message 1 of the party" in b"".join(answer).decode()

    def reads_audit(self) -> bool:
        return self.opens(AUDIT, f"{AUDIT}export/csv/", f"{AUDIT}export/json/")

    def erases(self) -> bool:
        return self.opens(f"{USERS}{self.person.pk}/do/erase/")

    def changes_people(self) -> bool:
        viewers = Group.objects.get(name="Session viewers")
        fields = {"email": self.person.email, "time_zone": "UTC", "is_active": "on", "groups": viewers.pk}
        sent = self.sends(f"{USERS}{self.person.pk}/change/", **fields)
        assert sent == self.person.groups.exists()
        assert sent == self.opens("/admin/auth/group/", f"{USERS}add/")
        return sent

    def sees_the_queue(self) -> bool:
        return self.opens("/admin/django_q/schedule/", "/admin/django_q/ormq/", "/admin/django_q/failure/")


ENTRANCES: dict[str, Callable[[World], bool]] = {
    "See sessions, without what is in them": World.sees_sessions,
    "See the quarantine, without what is in it": World.sees_quarantine,
    "See clean-up runs": World.sees_runs,
    "Prune, expire, clear, hold, release and rebuild sessions": World.uses_verbs,
    "Run, preview and stop clean-ups": World.runs_cleanups,
    "See people": World.sees_people,
    "See tokens and cost per person and day (*Model usage*)": World.sees_usage,
    "Close and reopen accounts": World.deactivates,
    "Inspect sessions": World.looks_into,
    "Export sessions": World.exports,
    "Read the audit, and export it": World.reads_audit,
    "Erase people": World.erases,
    "Change people, and their groups": World.changes_people,
    "See the worker's queue": World.sees_the_queue,
}


def table() -> tuple[list[str], dict[str, dict[str, bool]]]:
    """Read the docs: the roles, and who may do what."""
    text = (ROOT / "docs" / "reference" / "permissions.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    roles = lines[0]
    words = {"yes": True, "no": False}
    return roles, {what: {role: words[may] for role, may in zip(roles, row, strict=True)} for what, *row in lines[1:]}


ROLES, MAY = table()


def test_the_table_names_every_entrance_and_every_group() -> None:
    assert list(MAY) == list(ENTRANCES)
    groups = import_module("sessions_admin.migrations.0008_groups").GROUPS
    assert [*groups, "superusers"] == ROLES


@pytest.mark.parametrize("role", [*ROLES, "no group"])
def test_each_may_do_what_the_table_says_and_nothing_else(role: str, given_session: GivenSession) -> None:
    import_module("sessions_admin.migrations.0008_groups").make_groups(apps, connection.schema_editor())
    user = User.objects.create_user("member@example.com", PASSWORD, is_staff=True, is_superuser=role == "superusers")
    user.groups.set(Group.objects.filter(name=role))
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    world = World(browser, given_session)

    found = {what: entrance(world) for what, entrance in ENTRANCES.items()}

    assert found == {what: may.get(role, False) for what, may in MAY.items()}
