"""The signing key of an installation that was given none."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def secret_key_in(folder: Path) -> str:
    """Return the key kept in a folder, made at the first call; its file is readable by its owner only."""
    path = folder / "secret_key"
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".secret_key-")
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
        # A link appears whole or not at all: of two processes that start at once, both read the first one's key.
        with suppress(FileExistsError):
            os.link(draft, path)
        os.unlink(draft)
    return path.read_text().strip()
