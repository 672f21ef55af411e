"""Error pages have the common layout and show no details of the error."""

import pytest
from django.template.loader import render_to_string
from django.test import Client


@pytest.mark.django_db
def test_missing_page_gets_404(client: Client) -> None:
    response = client.get("/no/such/page/")
    assert response.status_code == 404
    assert "Page not found" in response.content.decode()


@pytest.mark.django_db
def test_server_error_page_shows_no_details(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr("chat.web.views.forms.SignUpForm.save", lambda form: 1 / 0)
    fields = {"email": "a@example.com", "password": "correct horse battery"}
    response = client.post("/accounts/signup/", fields)
    assert response.status_code == 500
    text = response.content.decode()
    assert "Something went wrong" in text
    assert "ZeroDivisionError" not in text


@pytest.mark.parametrize("template", ["403.html", "403_csrf.html", "404.html", "500.html"])
def test_error_pages_render_without_a_context(template: str) -> None:
    page = render_to_string(template)
    assert 'href="/"' in page
    assert "css/base.css" in page
