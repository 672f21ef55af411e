"""The permissions that each page and action of the admin requires."""

import uuid

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.models import Task as QueueTask
from django_q.tasks import async_task

from chat.accounts import tokens
from chat.models import AgentSession, User
from config.tests.support import PASSWORD
from sessions_admin.models import AuditRecord, CleanupRun, RunStatus, Trigger
from sessions_admin.people.erase import erase_person
from sessions_admin.tests.conftest import ClientOf, MakeSession, MakeStaffClient

NOT_STAFF = ("anonymous", "outsider", "owner")
UNPRIVILEGED_STAFF, VIEWER, MANAGER, SUPERUSER = "unprivileged_staff", "viewer", "manager", "staff"
ROLES = (*NOT_STAFF, UNPRIVILEGED_STAFF, VIEWER, MANAGER, SUPERUSER)

SESSIONS, RUNS, USERS = "/admin/chat/agentsession/", "/admin/sessions_admin/cleanuprun/", "/admin/chat/user/"
AUDIT, TOKENS = "/admin/sessions_admin/auditrecord/", "/admin/chat/apitoken/"
# The roles that may open each page.
READERS = (VIEWER, MANAGER, SUPERUSER)
RUNNERS = (MANAGER, SUPERUSER)
PAGES = {
    SESSIONS: READERS,
    f"{SESSIONS}{{session}}/change/": READERS,
    f"{SESSIONS}{{session}}/history/": READERS,
    f"{SESSIONS}{{session}}/inspect/": (SUPERUSER,),
    f"{SESSIONS}add/": (),
    f"{SESSIONS}{{session}}/delete/": (),
    "/admin/chat/quarantined/": READERS,
    RUNS: READERS,
    f"{RUNS}{{run}}/change/": READERS,
    f"{RUNS}{{run}}/progress/": READERS,
    f"{RUNS}run/": RUNNERS,
    f"{RUNS}preview/": RUNNERS,
    f"{RUNS}add/": (),
    f"{RUNS}{{run}}/delete/": (),
    USERS: (SUPERUSER,),
    f"{USERS}add/": (SUPERUSER,),
    f"{USERS}{{owner}}/change/": (SUPERUSER,),
    f"{USERS}{{owner}}/password/": (SUPERUSER,),
    f"{USERS}{{owner}}/delete/": (),
    **{f"{USERS}{{owner}}/do/{verb}/": (SUPERUSER,) for verb in ("deactivate", "erase", "export")},
    **{f"{AUDIT}{page}": (SUPERUSER,) for page in ("", "export/csv/", "export/json/")},
    TOKENS: (SUPERUSER,),
    "/admin/chat/modelusage/": (SUPERUSER,),
    "/admin/compare/": (SUPERUSER,),
    "/admin/auth/group/": (SUPERUSER,),
    "/admin/django_q/schedule/": (SUPERUSER,),
    "/admin/django_q/schedule/add/": (),
    "/admin/django_q/success/": (SUPERUSER,),
    "/admin/django_q/failure/": (SUPERUSER,),
    "/admin/django_q/ormq/": (SUPERUSER,),
    "/admin/axes/accessattempt/": (SUPERUSER,),
    "/admin/axes/accessattempt/add/": (),
    "/admin/axes/accesslog/": (SUPERUSER,),
}


@pytest.fixture
def url_ids(make_session: MakeSession, owner: User) -> dict[str, object]:
    """The ids in the URLs of the pages."""
    session = make_session(owner)
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, status=RunStatus.DONE, ended_at=timezone.now())
    return {"session": session.pk, "run": run.pk, "owner": owner.pk}


def expected(role: str, allowed: tuple[str, ...]) -> int:
    """Return the expected status: a redirect to the sign-in page, the page, or a refusal."""
    return 302 if role in NOT_STAFF else 200 if role in allowed else 403


@pytest.mark.parametrize("role", ROLES)
def test_page_opens_only_for_roles_with_permission(role: str, client_of: ClientOf, url_ids: dict[str, object]) -> None:
    browser = client_of(role)

    responses = {page: browser.get(page.format(**url_ids)) for page in PAGES}

    assert {page: response.status_code for page, response in responses.items()} == {
        page: expected(role, allowed) for page, allowed in PAGES.items()
    }
    redirects = [response.headers["Location"] for response in responses.values() if response.status_code == 302]
    assert all(location.startswith("/admin/login/?next=") for location in redirects)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("button", ["run", "preview"])
def test_run_and_preview_require_permission(
    role: str, button: str, client_of: ClientOf, url_ids: dict[str, object]
) -> None:
    response = client_of(role).post(f"{RUNS}{button}/")

    queued = CleanupRun.objects.filter(status=RunStatus.QUEUED)
    if role in RUNNERS:
        assert response.status_code == 302
        assert response.headers["Location"] == f"{RUNS}{queued.get().pk}/change/"
    else:
        assert response.status_code == expected(role, ())
        assert not queued.exists()


@pytest.mark.parametrize("role", [*NOT_STAFF, UNPRIVILEGED_STAFF, VIEWER, MANAGER])
def test_actions_without_permission_change_and_disclose_nothing(
    role: str, client_of: ClientOf, url_ids: dict[str, object], owner: User
) -> None:
    token = tokens.make(user=owner, name="My script", scopes=["tasks"]).token
    erased_id = User.objects.create_user("gone@example.com").pk
    erase_person(erased_id, actor="os:root", reason="asked for it")
    running = CleanupRun.objects.create(trigger=Trigger.ADMIN, status=RunStatus.RUNNING, heartbeat_at=timezone.now())
    audited = AuditRecord.objects.count()
    form_data: dict[str, object] = {"confirmed": "yes", "reason": "Curious", "email": owner.email, "repair": "Repair"}
    chosen = {SESSIONS: url_ids["session"], USERS: owner.pk, TOKENS: token.pk}
    verbs = {SESSIONS: ("export", "clear"), USERS: ("deactivate", "erase", "export"), TOKENS: ("revoke",)}
    forms = [
        (page, {"action": verb, "_selected_action": chosen[page], **form_data})
        for page in verbs
        for verb in verbs[page]
    ]
    forms += [(f"{SESSIONS}{url_ids['session']}/inspect/", form_data), ("/admin/compare/", form_data)]
    forms += [(f"{RUNS}{running.pk}/stop/", form_data)] if role not in RUNNERS else []
    browser = client_of(role)

    responses = [browser.post(page, form) for page, form in forms]
    responses += [browser.get(f"{USERS}{erased_id}/erased/"), browser.get(f"{TOKENS}{token.pk}/change/")]

    assert {response.status_code for response in responses[-2:]} == {expected(role, ())}
    text = b"".join(b"".join(response) for response in responses).decode()
    assert "message 1 of the party" not in text and "My script" not in text
    assert (AuditRecord.objects.count(), OrmQ.objects.exists()) == (audited, False)
    assert (CleanupRun.objects.get(pk=running.pk).status, tokens.holds(token.pk)) == (RunStatus.RUNNING, True)
    owner.refresh_from_db()
    assert owner.is_active


@pytest.mark.parametrize("role", [VIEWER, MANAGER, SUPERUSER])
def test_sessions_and_runs_cannot_be_edited(role: str, client_of: ClientOf, url_ids: dict[str, object]) -> None:
    browser = client_of(role)

    for page in (f"{SESSIONS}{url_ids['session']}/change/", f"{RUNS}{url_ids['run']}/change/"):
        assert browser.post(page, {"item_count": 1, "status": "queued", "session_id": "x"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": url_ids["session"], "post": "yes"}
    browser.post(SESSIONS, chosen)

    assert AgentSession.objects.get().item_count == 4
    assert CleanupRun.objects.get().status == RunStatus.DONE


def test_run_button_is_shown_only_with_permission(viewer_client: Client, manager_client: Client) -> None:
    assert "Run now" not in viewer_client.get(RUNS).text
    assert "Run now" in manager_client.get(RUNS).text


@pytest.mark.parametrize(
    "page",
    [f"{RUNS}run/", f"{RUNS}{{run}}/stop/", SESSIONS, USERS, "/admin/chat/apitoken/", "/admin/compare/"]
    + [f"{SESSIONS}{{session}}/inspect/", f"{USERS}{{owner}}/change/", f"{USERS}{{owner}}/password/", f"{USERS}add/"],
)
def test_form_without_csrf_token_is_rejected(page: str, staff: User, url_ids: dict[str, object]) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    form = {"action": "deactivate", "_selected_action": url_ids["owner"], "confirmed": "yes", "reason": "why not"}

    assert browser.post(page.format(**url_ids), form).status_code == 403
    assert not AuditRecord.objects.exists()


def test_queue_pages_require_superuser_despite_all_permissions(make_staff_client: MakeStaffClient) -> None:
    browser = make_staff_client()
    worker_permissions = Permission.objects.filter(content_type__app_label__in=("django_q", "auth", "axes"))
    User.objects.get(is_staff=True).user_permissions.set(worker_permissions)

    pages = [page for page in PAGES if "django_q" in page or "auth/group" in page or "axes" in page]

    assert [browser.get(page).status_code for page in pages] == [403] * len(pages)
    assert "Scheduled tasks" not in browser.get("/admin/").text


@pytest.fixture
def queue(db: None) -> dict[str, object]:
    """A row of each model of the worker's queue, with secrets in arguments and results."""
    task_fields = {"func": "builtins.print", "args": ("sekret",), "kwargs": {"a": "sekret"}, "result": "sekret"}
    times = {"started": timezone.now(), "stopped": timezone.now()}
    done, failed = (
        QueueTask.objects.create(id=uuid.uuid4().hex, name=f"task {success}", success=success, **task_fields, **times)
        for success in (True, False)
    )
    schedule = Schedule.objects.create(name="often", func="builtins.print", args="'sekret'", kwargs="a='sekret'")
    async_task("builtins.print", "sekret", task_name="sekret")
    return {"schedule": schedule.pk, "success": done.pk, "failure": failed.pk, "ormq": OrmQ.objects.get().pk}


def test_superuser_cannot_add_or_change_worker_tasks(staff_client: Client, queue: dict[str, object]) -> None:
    fields = {"func": "os.system", "args": "'touch /tmp/x'", "schedule_type": "O", "repeats": -1, "cluster": ""}
    before = list(Schedule.objects.values())

    for model, pk in queue.items():
        of_model = f"/admin/django_q/{model}/"
        assert staff_client.post(f"{of_model}add/", fields).status_code == 403
        assert staff_client.post(f"{of_model}{pk}/change/", fields).status_code == 403
        assert staff_client.post(f"{of_model}{pk}/delete/", {"post": "yes"}).status_code == 403
        for action in ("resubmit_task", "delete_selected"):
            chosen = {"action": action, "_selected_action": pk, "post": "yes"}
            staff_client.post(of_model, chosen)
        assert (
            not staff_client.get(of_model)
            .context["cl"]
            .model_admin.get_actions(staff_client.get(of_model).wsgi_request)
        )

    assert list(Schedule.objects.values()) == before
    assert (OrmQ.objects.count(), QueueTask.objects.count()) == (1, 2)


def test_task_arguments_and_results_are_not_shown(staff_client: Client, queue: dict[str, object]) -> None:
    pages = [f"/admin/django_q/{model}/{page}" for model, pk in queue.items() for page in ("", f"{pk}/change/")]

    responses = [staff_client.get(page) for page in pages]

    assert [response.status_code for response in responses] == [200] * 8
    assert [response for response in responses if "sekret" in response.text] == []


def test_sign_in_log_hides_form_data_and_is_read_only(staff_client: Client) -> None:
    secret = {"post_data": "old_password=sekret", "get_data": "sekret", "http_accept": "sekret"}
    attempt = AccessAttempt.objects.create(username="a@example.com", failures_since_start=10, **secret)
    page = "/admin/axes/accessattempt/"

    assert "sekret" not in staff_client.get(page).text + staff_client.get(f"{page}{attempt.pk}/change/").text
    staff_client.post(page, {"action": "delete_selected", "_selected_action": attempt.pk, "post": "yes"})

    assert AccessAttempt.objects.exists()


# Users.


def test_user_managers_cannot_change_staff_or_see_password_hashes(
    make_staff_client: MakeStaffClient, owner: User, staff: User
) -> None:
    browser, colleague = (
        make_staff_client("view_user", "change_user", "add_user"),
        User.objects.create_user("c@example.com", PASSWORD),
    )
    for person, is_allowed in ((owner, True), (colleague, False), (staff, False)):
        User.objects.filter(pk=colleague.pk).update(is_staff=True)
        page = f"{USERS}{person.pk}/"
        status = 302 if is_allowed else 403
        new = {"password1": "another-pass-9", "password2": "another-pass-9", "usable_password": "true"}
        assert browser.post(f"{page}password/", new).status_code == status
        fields = {"email": f"new-{person.email}", "time_zone": "UTC"}
        assert browser.post(f"{page}change/", fields).status_code == status
        person.refresh_from_db()
        assert person.check_password("another-pass-9") == person.email.startswith("new-") == is_allowed
        shown = browser.get(f"{page}change/").text
        assert (person.password[-6:] in shown, "algorithm" in shown) == (False, is_allowed)


def test_user_managers_cannot_escalate_privileges(make_staff_client: MakeStaffClient, owner: User) -> None:
    browser = make_staff_client("view_user", "change_user", "add_user")
    me = User.objects.get(is_staff=True)
    group = Group.objects.create(name="all of it")
    more = {"is_superuser": "on", "is_staff": "on", "groups": group.pk, "user_permissions": 1, "is_active": "on"}
    fields = {"email": "x@example.com", "time_zone": "UTC", **more}

    browser.post(f"{USERS}{me.pk}/change/", fields)
    browser.post(f"{USERS}{owner.pk}/change/", fields)
    browser.post(f"{USERS}add/", {**fields, "usable_password": "false"})
    browser.post("/admin/auth/group/add/", {"name": "mine", "permissions": 1})
    browser.post(f"/admin/auth/group/{group.pk}/change/", {"name": "mine", "permissions": 1})

    me.refresh_from_db()
    assert (me.is_superuser, me.user_permissions.count(), me.groups.count()) == (False, 3, 0)
    assert not User.objects.exclude(pk=me.pk).filter(Q(is_staff=True) | Q(is_superuser=True)).exists()
    assert Group.objects.get(pk=group.pk).name == "all of it"
    assert not Group.objects.filter(name="mine").exists()
    assert not group.permissions.exists()


def test_deactivated_staff_lose_access(make_staff_client: MakeStaffClient) -> None:
    browser = make_staff_client("view_agentsession")
    assert browser.get(SESSIONS).status_code == 200
    User.objects.update(is_active=False)
    assert [browser.get(page).status_code for page in ("/admin/", SESSIONS)] == [302, 302]


@pytest.mark.parametrize("page", ["/admin/", SESSIONS, f"{USERS}{{owner}}/password/", f"{USERS}{{owner}}/do/erase/"])
def test_pages_cannot_be_framed(page: str, staff_client: Client, url_ids: dict[str, object]) -> None:
    response = staff_client.get(page.format(**url_ids))

    assert response.status_code == 200
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


def test_email_of_a_new_account_is_case_insensitive(staff_client: Client) -> None:
    form = {"email": " Anna@Example.COM", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}

    staff_client.post(f"{USERS}add/", form)

    assert User.objects.get(email="anna@example.com").check_password(PASSWORD)
    again = staff_client.post(f"{USERS}add/", form | {"email": "ANNA@example.com"})
    assert "There is an account with this e-mail address." in again.text


# Sign-in.


def test_admin_uses_the_site_sign_in_page_without_redirect_loop(
    client: Client, staff: User, owner_client: Client
) -> None:
    response = client.get(f"{USERS}", follow=True)
    assert response.redirect_chain[-1][0] == f"/accounts/login/?next={USERS}"
    form = {"username": " STAFF@example.com ", "password": PASSWORD, "next": USERS}
    assert client.post("/admin/login/", form)["Location"] == "/accounts/login/?next=/admin/"
    assert client.post("/accounts/login/", form, follow=True).status_code == 200
    assert client.get("/admin/login/?next=https://evil.example/")["Location"] == "/admin/"
    assert client.get("/admin/password_change/")["Location"] == "/accounts/password/"

    refused = owner_client.get(USERS, follow=True)
    assert (refused.status_code, "does not have access to the administration" in refused.text) == (403, True)
    assert owner_client.get(f"/accounts/login/?next={USERS}", follow=True).status_code == 403


def test_password_set_by_staff_ends_logins_and_tokens(staff_client: Client, owner: User, owner_client: Client) -> None:
    api_token = tokens.make(user=owner, name="script", scopes=["tasks"])
    form = {"usable_password": "true", "password1": "staple battery horse", "password2": "staple battery horse"}
    assert staff_client.post(f"{USERS}{owner.pk}/password/", form).status_code == 302
    owner.refresh_from_db()
    assert owner.check_password("staple battery horse")
    assert owner_client.get("/").status_code == 302
    assert owner_client.get("/api/tasks", headers={"Authorization": f"Bearer {api_token.key}"}).status_code == 401


def test_administrator_is_not_left_without_a_password(staff_client: Client) -> None:
    colleague = User.objects.create_superuser("colleague@example.com", PASSWORD)
    response = staff_client.post(f"{USERS}{colleague.pk}/password/", {"usable_password": "false", "unset-password": ""})
    assert "An administrator needs a password to sign in." in response.text
    colleague.refresh_from_db()
    assert colleague.has_usable_password()
