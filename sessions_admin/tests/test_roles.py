"""Each group of staff has exactly the permissions that the table in docs/reference/permissions.md lists."""

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
from sessions_admin.tests.conftest import MakeSession

SESSIONS, RUNS, USERS = "/admin/chat/agentsession/", "/admin/sessions_admin/cleanuprun/", "/admin/chat/user/"
AUDIT = "/admin/sessions_admin/auditrecord/"


class StaffActions:
    """Actions of staff; each method returns whether they are allowed, and fails if only some of its requests are."""

    def __init__(self, browser: Client, make_session: MakeSession) -> None:
        self.browser = browser
        self.make_session = make_session
        self.person = User.objects.create_user("person@example.com", PASSWORD)
        self.session = make_session(self.person)

    def can_open(self, *pages: str) -> bool:
        statuses = [self.browser.get(page).status_code for page in pages]
        assert set(statuses) in ({200}, {403}), dict(zip(pages, statuses, strict=True))
        return statuses[0] == 200

    def can_post(self, page: str, **fields: object) -> bool:
        return self.browser.post(page, fields).status_code in (200, 302)

    def sees_sessions(self) -> bool:
        return self.can_open(SESSIONS, f"{SESSIONS}{self.session.pk}/change/")

    def sees_quarantine(self) -> bool:
        return self.can_open("/admin/chat/quarantined/")

    def sees_runs(self) -> bool:
        return self.can_open(RUNS)

    def uses_verbs(self) -> bool:
        allowed = []
        for verb in (verb for verb in VERBS if verb.name != Action.EXPORT):
            session = self.make_session(self.person)
            if verb.name == Action.RELEASE:
                hold_session(session.session_id, actor="os:tester", reason="asked for")
            self.browser.post(
                SESSIONS, {"action": verb.name.value, "_selected_action": session.pk, "confirmed": "yes", "reason": "x"}
            )
            allowed.append(AuditRecord.objects.filter(action=verb.name, session_id=session.session_id).exists())
        assert len(set(allowed)) == 1, allowed
        return allowed[0]

    def runs_cleanups(self) -> bool:
        CleanupRun.objects.all().delete()
        run = CleanupRun.objects.create(
            trigger=Trigger.ADMIN, status=RunStatus.RUNNING, started_at=timezone.now(), heartbeat_at=timezone.now()
        )
        stopped = self.can_post(f"{RUNS}{run.pk}/stop/", confirmed="yes")
        run.refresh_from_db()
        assert stopped == (run.status != RunStatus.RUNNING)
        allowed = [stopped, self.can_post(f"{RUNS}preview/"), self.can_open(f"{RUNS}run/")]
        assert len(set(allowed)) == 1, allowed
        return allowed[0]

    def sees_people(self) -> bool:
        return self.can_open(USERS, f"{USERS}{self.person.pk}/change/")

    def sees_usage(self) -> bool:
        return self.can_open("/admin/chat/modelusage/")

    def deactivates(self) -> bool:
        for action, active in (("deactivate", False), ("reactivate", True)):
            fields = {"action": action, "_selected_action": self.person.pk, "confirmed": "yes", "reason": "x"}
            self.browser.post(USERS, fields)
            self.person.refresh_from_db()
            if self.person.is_active != active:
                return False
        return True

    def inspects(self) -> bool:
        response = self.browser.post(f"{SESSIONS}{self.session.pk}/inspect/", {"reason": "She asked"})
        assert ("message 1 of the party" in response.text) == (response.status_code == 200)
        return response.status_code == 200

    def exports(self) -> bool:
        fields = {"action": "export", "_selected_action": self.session.pk, "confirmed": "yes", "reason": "She asked"}
        response = self.browser.post(SESSIONS, fields)
        return "message 1 of the party" in b"".join(response).decode()

    def reads_audit(self) -> bool:
        return self.can_open(AUDIT, f"{AUDIT}export/csv/", f"{AUDIT}export/json/")

    def erases(self) -> bool:
        return self.can_open(f"{USERS}{self.person.pk}/do/erase/")

    def changes_people(self) -> bool:
        viewers = Group.objects.get(name="Session viewers")
        fields = {"email": self.person.email, "time_zone": "UTC", "is_active": "on", "groups": viewers.pk}
        sent = self.can_post(f"{USERS}{self.person.pk}/change/", **fields)
        assert sent == self.person.groups.exists()
        assert sent == self.can_open("/admin/auth/group/", f"{USERS}add/")
        return sent

    def sees_the_queue(self) -> bool:
        return self.can_open("/admin/django_q/schedule/", "/admin/django_q/ormq/", "/admin/django_q/failure/")


ACTIONS: dict[str, Callable[[StaffActions], bool]] = {
    "See sessions, without what is in them": StaffActions.sees_sessions,
    "See the quarantine, without what is in it": StaffActions.sees_quarantine,
    "See clean-up runs": StaffActions.sees_runs,
    "Prune, expire, clear, hold, release and rebuild sessions": StaffActions.uses_verbs,
    "Run, preview and stop clean-ups": StaffActions.runs_cleanups,
    "See people": StaffActions.sees_people,
    "See tokens and cost per person and day (*Model usage*)": StaffActions.sees_usage,
    "Close and reopen accounts": StaffActions.deactivates,
    "Inspect sessions": StaffActions.inspects,
    "Export sessions": StaffActions.exports,
    "Read the audit, and export it": StaffActions.reads_audit,
    "Erase people": StaffActions.erases,
    "Change people, and their groups": StaffActions.changes_people,
    "See the worker's queue": StaffActions.sees_the_queue,
}


def read_table() -> tuple[list[str], dict[str, dict[str, bool]]]:
    """Read the roles and their permissions from the docs."""
    text = (ROOT / "docs" / "reference" / "permissions.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    roles = lines[0]
    values = {"yes": True, "no": False}
    return roles, {
        what: {role: values[cell] for role, cell in zip(roles, row, strict=True)} for what, *row in lines[1:]
    }


ROLES, PERMISSIONS = read_table()


def test_docs_table_lists_every_action_and_group() -> None:
    assert list(PERMISSIONS) == list(ACTIONS)
    groups = import_module("sessions_admin.migrations.0008_groups").GROUPS
    assert [*groups, "superusers"] == ROLES


@pytest.mark.parametrize("role", [*ROLES, "no group"])
def test_group_has_exactly_the_documented_permissions(role: str, make_session: MakeSession) -> None:
    import_module("sessions_admin.migrations.0008_groups").make_groups(apps, connection.schema_editor())
    user = User.objects.create_user("member@example.com", PASSWORD, is_staff=True, is_superuser=role == "superusers")
    user.groups.set(Group.objects.filter(name=role))
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    actions = StaffActions(browser, make_session)

    found = {what: action(actions) for what, action in ACTIONS.items()}

    assert found == {what: permissions.get(role, False) for what, permissions in PERMISSIONS.items()}
