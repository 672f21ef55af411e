"""The signing key of an installation without SECRET_KEY."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def load_or_create_secret_key(folder: Path) -> str:
    """Return the key stored in a folder, created at the first call; only its owner can read the file."""
    path = folder / "secret_key"
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".secret_key-")
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
        # A hard link appears complete or not at all: two processes that start at once both read the first one's key.
        with suppress(FileExistsError):
            os.link(draft, path)
        os.unlink(draft)
    return path.read_text().strip()
