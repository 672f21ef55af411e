"""A local mail server that stores the messages it receives."""

import re
from email import message_from_bytes
from typing import Any

from aiosmtpd.controller import Controller

from config.tests.support import eventually, free_port


class Mailbox:
    """A real SMTP server and the messages it received."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"smtp://127.0.0.1:{self.port}"
        self._messages: list[tuple[str, str]] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    def __enter__(self) -> "Mailbox":
        self._controller.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Store a message."""
        payload = message_from_bytes(envelope.content).get_payload(decode=True)
        assert isinstance(payload, bytes)
        self._messages += [(address, payload.decode()) for address in envelope.rcpt_tos]
        return "250 OK"

    def mails_to(self, address: str) -> list[str]:
        """Return the texts of the messages to an address so far."""
        return [text for to, text in self._messages if to == address]

    def link_to(self, address: str) -> str:
        """Wait for a message to an address and return the link in the newest."""
        texts: list[str] = eventually(lambda: self.mails_to(address), what=f"a message to {address}")
        match = re.search(r"https?://\S+", texts[-1])
        assert match, texts[-1]
        return match[0]
