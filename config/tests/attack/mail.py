"""A mail server on this machine that keeps what it is given."""

import re
from email import message_from_bytes
from typing import Any

from aiosmtpd.controller import Controller

from config.tests.support import eventually, free_port


class Mailbox:
    """A real SMTP server, and the mails that it was given."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self._mails: list[tuple[str, str]] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> "Mailbox":
        self._controller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Keep a mail."""
        payload = message_from_bytes(envelope.content).get_payload(decode=True)
        assert isinstance(payload, bytes)
        self._mails += [(address, payload.decode()) for address in envelope.rcpt_tos]
        return "250 OK"

    def mails_to(self, address: str) -> list[str]:
        """Return the texts of the mails to an address so far."""
        return [text for to, text in self._mails if to == address]

    def link_to(self, address: str) -> str:
        """Wait for a mail to an address and return the link in the newest."""
        texts: list[str] = eventually(lambda: self.mails_to(address), what=f"a mail to {address}")
        found = re.search(r"https?://\S+", texts[-1])
        assert found, texts[-1]
        return found[0]
