"""Helpers for mail."""

import re

from django.core.mail import EmailMessage

from chat.accounts import mail_threads


def wait_for_mail() -> None:
    """Wait until no mail is being sent."""
    for _ in range(mail_threads.MAX_PENDING):
        assert mail_threads._places.acquire(timeout=30)
    mail_threads._places.release(mail_threads.MAX_PENDING)


def link_in(mail: EmailMessage) -> str:
    """Return the path of the first link in a mail."""
    found = re.search(r"https?://[^/\s]+(/\S+)", str(mail.body))
    assert found
    return found[1]
