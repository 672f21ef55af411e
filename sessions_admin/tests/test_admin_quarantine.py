"""The admin lists quarantined rows and files without showing their content."""

from pathlib import Path

import pytest
from django.test import Client

from chat.memory.quarantine import Suspect, quarantine, quarantine_file
from chat.models import Quarantined

LIST = "/admin/chat/quarantined/"
SECRET = "the surprise party is at nine"


@pytest.fixture
def quarantined_row(db: None) -> Quarantined:
    """A quarantined row, beside a quarantined file."""
    quarantine("user_1_conv_2", [Suspect(7, SECRET, "holds no item")])
    quarantine_file(Path("/srv/data/agent_sessions.db.corrupt"))
    return Quarantined.objects.get(row_id=7)


def test_list_shows_quarantined_rows_and_files_with_reasons(
    quarantined_row: Quarantined, viewer_client: Client
) -> None:
    page = viewer_client.get(LIST).text

    assert "Row 7 of user_1_conv_2" in page
    assert "holds no item" in page
    assert "File /srv/data/agent_sessions.db.corrupt" in page


def test_quarantined_content_is_not_shown(
    quarantined_row: Quarantined, viewer_client: Client, staff_client: Client
) -> None:
    for client in (viewer_client, staff_client):
        for page in (LIST, f"{LIST}{quarantined_row.pk}/change/", f"{LIST}?q=party"):
            response = client.get(page)
            assert response.status_code == 200
            assert SECRET not in response.text


def test_dashboard_reports_a_quarantined_file(quarantined_row: Quarantined, viewer_client: Client) -> None:
    page = viewer_client.get("/admin/").text

    assert "A corrupt session file was set aside" in page
    assert f'href="{LIST}"' in page


def test_only_a_quarantined_row_links_to_a_session(quarantined_row: Quarantined, viewer_client: Client) -> None:
    file = Quarantined.objects.get(session_id="")

    assert (
        'href="/admin/chat/agentsession/?q=user_1_conv_2"'
        in viewer_client.get(f"{LIST}{quarantined_row.pk}/change/").text
    )
    assert "/admin/chat/agentsession/?q=" not in viewer_client.get(f"{LIST}{file.pk}/change/").text
