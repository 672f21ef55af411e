"""Usage and cost: users see their current month in the settings, staff see the days of all users."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import time_machine
from django.test import Client
from pytest_django import Settings

from chat.models import ModelUsage, User
from sessions_admin.tests.conftest import MakeStaffClient, command_output, text_of

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 13, 10, tzinfo=UTC)
ADMIN = "/admin/chat/modelusage/"


@pytest.fixture(autouse=True)
def usage(owner: User, outsider: User) -> None:
    for person, day, model, tokens, cost in (
        (owner, date(2026, 3, 13), "fast", 1_500_000, Decimal("1.5")),
        (owner, date(2026, 3, 13), "slow", 10, None),
        (owner, date(2026, 3, 1), "fast", 500_000, Decimal("0.25")),
        (owner, date(2026, 2, 28), "fast", 7, Decimal(99)),
        (outsider, date(2026, 3, 13), "fast", 20, Decimal(12)),
    ):
        ModelUsage.objects.create(
            user=person, day=day, model=model, responses=2, input_tokens=tokens, output_tokens=tokens // 10, cost=cost
        )


def test_settings_show_usage_of_the_month_per_model(owner: User, settings: Settings) -> None:
    settings.AGENT_CURRENCY = "EUR"
    client = Client()
    client.force_login(owner)

    with time_machine.travel(NOW, tick=False):
        page = text_of(client.get("/settings/").text)

    assert "fast 4 2,000,000 200,000 1.7500 EUR slow 2 10 1 –" in page
    assert "99" not in page and "12.00" not in page


def test_settings_hide_usage_of_a_user_without_model_calls() -> None:
    client = Client()
    client.force_login(User.objects.create_user("new@example.com", "correct horse battery"))
    assert "Usage this month" not in client.get("/settings/").text


def run(*arguments: str) -> str:
    with time_machine.travel(NOW, tick=False):
        return command_output("model_usage", *arguments)


def test_command_sums_usage_per_user_and_day(owner: User, outsider: User) -> None:
    lines = json.loads(run("--json"))

    assert [(line["day"], line["email"], line["responses"], line["input_tokens"], line["cost"]) for line in lines] == [
        ("2026-03-13", outsider.email, 2, 20, "12.0000000000"),
        ("2026-03-13", owner.email, 4, 1_500_010, "1.5000000000"),
        ("2026-03-01", owner.email, 2, 500_000, "0.2500000000"),
        ("2026-02-28", owner.email, 2, 7, "99.0000000000"),
    ]
    assert len(json.loads(run("--json", "--by-model", "--user", owner.email.upper(), "--within", "1d"))) == 2
    first = run("--within", "1d").splitlines()[0].split()
    assert first == ["2026-03-13", "2", "responses", "20", "in", "2", "out", "12.00", "USD", outsider.email]


def test_staff_with_view_user_permission_see_daily_usage(make_staff_client: MakeStaffClient, owner: User) -> None:
    client = make_staff_client("view_user")

    page = client.get(ADMIN, {"q": owner.email})

    assert page.status_code == 200
    assert len(page.context["cl"].result_list) == 4
    assert "1,500,000" in page.text or "1500000" in page.text
    assert client.post(f"{ADMIN}add/").status_code == 403
