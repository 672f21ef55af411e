"""Pages for when something is wrong look like the others, and tell nothing."""

import pytest
from django.template.loader import render_to_string
from django.test import Client


@pytest.mark.django_db
def test_a_page_that_does_not_exist(client: Client) -> None:
    answer = client.get("/no/such/page/")
    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()


@pytest.mark.django_db
def test_a_page_that_breaks_says_no_more_than_that(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr("chat.web.views.forms.SignUpForm.save", lambda form: 1 / 0)
    fields = {"email": "a@example.com", "password": "correct horse battery"}
    answer = client.post("/accounts/signup/", fields)
    assert answer.status_code == 500
    text = answer.content.decode()
    assert "Something went wrong" in text
    assert "ZeroDivisionError" not in text


@pytest.mark.parametrize("template", ["403.html", "403_csrf.html", "404.html", "500.html"])
def test_they_need_nothing_to_be_shown(template: str) -> None:
    page = render_to_string(template)
    assert 'href="/"' in page
    assert "css/base.css" in page
