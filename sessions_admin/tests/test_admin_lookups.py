"""Admin URLs accept only the lookups that each admin class names, and none causes a server error."""

import logging
import re
import uuid
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch, reverse

from chat.models import AgentSession, ApiToken, Quarantined, User
from sessions_admin.models import CleanupRun, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.site import GuardedAdmin, GuardedChangeList
from sessions_admin.tests.conftest import MakeSession

MODELS = list(admin.site._registry)
EVERY_MODEL = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label_lower)
# The models with pages of their own; the other ones have Django's, and are long tests.
OWN_PAGES = (AgentSession, CleanupRun, User)
EVERY_MODEL_OTHERS_LONG = pytest.mark.parametrize(
    "model",
    [pytest.param(model, marks=() if model in OWN_PAGES else pytest.mark.long) for model in MODELS],
    ids=lambda model: model._meta.label_lower,
)
LOOKUPS = ("", "__startswith", "__regex", "__contains", "__gt", "__lte", "__isnull", "__in")
DJANGO_PARAMETERS = (
    "q",
    "o",
    "p",
    "e",
    "all",
    "_popup",
    "_to_field",
    "_facets",
    "_changelist_filters",
    "_source_model",
)
ODD_VALUES = ("(\\", "9" * 30)
ODD_IDS = ("9" * 30, "-1", "_2", "%FF", "x" * 300, "1/2")
VIEWS = ("change", "history", "delete", "inspect", "do/erase", "erased", "progress")
ODD_FORMS: tuple[dict[str, str], ...] = (
    {"action": "delete_selected", "_selected_action": "x"},
    {"action": "prune", "_selected_action": "x"},
    {"action": "erase", "_selected_action": "x", "confirmed": "1", "email": "x", "reason": "x"},
    {"action": "nothing", "_selected_action": "1"},
    {"action": "revoke", "_selected_action": str(uuid.uuid4()), "confirmed": "1", "reason": "x"},
    {"form-TOTAL_FORMS": "99999999999", "_save": "1"},
    {},
)


def changelist(model: type[Model], /, **query: str) -> str:
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{page}?{urlencode(query)}"


def paths(model: type[Model], prefix: str = "") -> Iterator[str]:
    """Yield the fields of a model, and those of the models that it refers to."""
    for field in model._meta.get_fields():
        yield f"{prefix}{field.name}"
        if field.is_relation and field.related_model is not None and not prefix:
            yield from paths(field.related_model, f"{field.name}__")


def allowed_by(model: type[Model]) -> set[str]:
    """Return the lookups that a list accepts."""
    model_admin, request = admin.site._registry[model], RequestFactory().get("/")
    named = {getattr(each, "parameter_name", "") for each in model_admin.list_filter}
    parts = {f"{model_admin.date_hierarchy}__{part}" for part in ("year", "month", "day")}
    tried = {f"{path}{lookup}" for path in paths(model) for lookup in LOOKUPS} | named | parts
    return {lookup for lookup in tried if model_admin.lookup_allowed(lookup, "x", request)}


@EVERY_MODEL
def test_list_accepts_only_lookups_named_by_its_class(model: type[Model]) -> None:
    model_admin = admin.site._registry[model]
    filters = [each[0] if isinstance(each, tuple) else each for each in model_admin.list_filter]
    named = {str(getattr(each, "parameter_name", each)) for each in filters} | {str(model_admin.date_hierarchy)}
    value_suffix = re.compile("(__(id__)?exact|__isnull|__year|__month|__day)?$")

    assert isinstance(model_admin, GuardedAdmin)
    assert issubclass(model_admin.get_changelist(RequestFactory().get("/")), GuardedChangeList)
    assert {value_suffix.sub("", lookup) for lookup in allowed_by(model)} - {"user"} <= named


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (Quarantined, "content__startswith"),
        (Quarantined, "id__regex"),
        (ApiToken, "hash__startswith"),
        (ApiToken, "user__password__startswith"),
        (AgentSession, "user__password__gt"),
        (AgentSession, "conversation__title__icontains"),
        (AgentSession, "hold_reason__startswith"),
        (User, "password__startswith"),
    ],
)
def test_hidden_fields_cannot_be_probed_by_lookups(
    model: type[Model], lookup: str, staff_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        responses = [staff_client.get(changelist(model, **{lookup: value})) for value in ("a", "b", "(", "")]

    assert [response.status_code for response in responses] == [400] * 4
    assert lookup not in caplog.text


@pytest.mark.parametrize("field", ["email", "password"])
def test_user_is_referenced_by_id_only(field: str, staff: User, staff_client: Client) -> None:
    assert staff_client.get(changelist(User, _to_field=field)).status_code == 400
    page = reverse("admin:chat_user_change", args=[getattr(staff, field)])
    assert staff_client.get(f"{page}?_to_field={field}").status_code == 400


def test_unused_admin_views_are_disabled(staff: User, staff_client: Client) -> None:
    for name in ("autocomplete", "view_on_site"):
        with pytest.raises(NoReverseMatch):
            reverse(f"admin:{name}")
    query = {"app_label": "chat", "model_name": "message", "field_name": "conversation", "term": "a"}
    assert staff_client.get(f"/admin/autocomplete/?{urlencode(query)}").status_code == 404
    assert staff_client.get(f"/admin/r/1/{staff.pk}/").status_code == 404


@EVERY_MODEL_OTHERS_LONG
def test_filter_links_of_a_list_return_200(
    model: type[Model], staff_client: Client, make_session: MakeSession, owner: User
) -> None:
    make_session(owner)
    page = staff_client.get(changelist(model)).context["cl"]
    links = [choice["query_string"] for spec in page.filter_specs for choice in spec.choices(page)]

    assert {staff_client.get(f"{changelist(model)}{link[1:]}").status_code for link in links} <= {200}


@EVERY_MODEL_OTHERS_LONG
def test_odd_query_values_cause_no_server_error(model: type[Model], staff_client: Client) -> None:
    pages = [
        changelist(model, **{name: value}) for name in (*allowed_by(model), *DJANGO_PARAMETERS) for value in ODD_VALUES
    ]

    responses = {page: staff_client.get(page).status_code for page in pages}

    assert {page: status for page, status in responses.items() if status not in (200, 302, 400)} == {}


@EVERY_MODEL_OTHERS_LONG
def test_odd_ids_cause_no_server_error(model: type[Model], staff_client: Client) -> None:
    list_url = changelist(model).partition("?")[0]

    pages = [f"{list_url}{quote(odd, safe='%/')}/{view}/" for odd in ODD_IDS for view in VIEWS]
    responses = {page: staff_client.get(page).status_code for page in pages}

    assert {page: status for page, status in responses.items() if status not in (302, 400, 403, 404)} == {}


@EVERY_MODEL_OTHERS_LONG
def test_odd_forms_cause_no_server_error(model: type[Model], staff_client: Client) -> None:
    responses = [staff_client.post(changelist(model), form).status_code for form in ODD_FORMS]

    assert set(responses) <= {200, 302, 400, 403}


@pytest.mark.parametrize("year", ["0", "1", "9999", "10000", "x"])
def test_dates_out_of_range_cause_no_server_error(year: str, staff_client: Client) -> None:
    for more in ({}, {"created_at__month": "12"}, {"created_at__month": "0"}, {"created_at__day": "9" * 30}):
        response = staff_client.get(changelist(Quarantined, created_at__year=year, **more))
        assert response.status_code in (200, 302)


def test_odd_query_values_on_custom_pages_cause_no_server_error(
    staff_client: Client, make_session: MakeSession
) -> None:
    run = cleanup(trigger=Trigger.COMMAND, dry_run=True).run_id
    names = ("page", "people", "conversations", "task", "e", "_to_field")
    pages = [
        f"{page}?{urlencode({name: value})}"
        for page in (f"/admin/sessions_admin/cleanuprun/{run}/change/", "/admin/compare/", "/admin/")
        for name in names
        for value in ("(", "-1", "9" * 30)
    ]

    responses = {page: staff_client.get(page).status_code for page in pages}

    assert {page: status for page, status in responses.items() if status not in (200, 302, 400)} == {}
