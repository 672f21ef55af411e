"""Staff learn what was found wrong in the session file, and read nobody's words in it."""

from pathlib import Path

import pytest
from django.test import Client

from chat.memory.quarantine import Suspect, quarantine, quarantine_file
from chat.models import Quarantined

LIST = "/admin/chat/quarantined/"
SECRET = "the surprise party is at nine"


@pytest.fixture
def found(db: None) -> Quarantined:
    """A row that was no item, and a file that was corrupt."""
    quarantine("user_1_conv_2", [Suspect(7, SECRET, "holds no item")])
    quarantine_file(Path("/srv/data/agent_sessions.db.corrupt"))
    return Quarantined.objects.get(row_id=7)


def test_staff_read_what_was_set_aside_when_and_why(found: Quarantined, viewer_client: Client) -> None:
    page = viewer_client.get(LIST).text

    assert "Row 7 of user_1_conv_2" in page
    assert "holds no item" in page
    assert "File /srv/data/agent_sessions.db.corrupt" in page


def test_the_words_in_it_are_not_shown(found: Quarantined, viewer_client: Client, staff_client: Client) -> None:
    for browser in (viewer_client, staff_client):
        for page in (LIST, f"{LIST}{found.pk}/change/", f"{LIST}?q=party"):
            answer = browser.get(page)
            assert answer.status_code == 200
            assert SECRET not in answer.text


def test_a_file_that_was_set_aside_is_told_of_at_the_entrance(found: Quarantined, viewer_client: Client) -> None:
    page = viewer_client.get("/admin/").text

    assert "A corrupt session file was set aside" in page
    assert f'href="{LIST}"' in page


def test_a_row_leads_to_its_session_and_a_file_to_none(found: Quarantined, viewer_client: Client) -> None:
    file = Quarantined.objects.get(session_id="")

    assert 'href="/admin/chat/agentsession/?q=user_1_conv_2"' in viewer_client.get(f"{LIST}{found.pk}/change/").text
    assert "/admin/chat/agentsession/?q=" not in viewer_client.get(f"{LIST}{file.pk}/change/").text
