"""Static files with a hash of their content in their names, compressed, and collected once per version."""

import hashlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brotli
from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.storage import storages
from django.core.management import call_command
from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage

logger = logging.getLogger(__name__)

# The folders of the chat page. The highest quality would take seconds for the admin and the API's documentation.
FIRST_PAGE_FOLDERS = ("css", "js", "vendor", "img")
FAST_QUALITY = 5
# A page that was opened before an upgrade may still import a module by its old name.
KEPT_SECONDS = 30 * 24 * 3600
MARKER = "sources.sha256"


class FastCompressor(Compressor):  # type: ignore[misc]  # whitenoise is untyped
    """WhiteNoise's compressor, a hundred times as fast."""

    @staticmethod
    def compress_brotli(data: bytes) -> bytes:
        compressed: bytes = brotli.compress(data, quality=FAST_QUALITY)
        return compressed


class PageCompressor(Compressor):  # type: ignore[misc]  # whitenoise is untyped
    """WhiteNoise's compressor, with the highest quality only for the files of the chat page."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._fast = FastCompressor(**options)

    def compress(self, path: str) -> list[str]:
        is_first = Path(path).relative_to(settings.STATIC_ROOT).parts[0] in FIRST_PAGE_FOLDERS
        made: list[str] = super().compress(path) if is_first else self._fast.compress(path)
        return made


class CollectedFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # whitenoise is untyped
    """Returns the hashed names of collected files.

    Without a collection of the current sources, and for a file that is not in it, the name is the plain one: WhiteNoise
    then serves it from the app's folder.
    """

    # Django's own patterns for modules also match the types in JSDoc, which import each other in circles.
    patterns = (
        *ManifestStaticFilesStorage.patterns,
        (
            "js/*.js",
            (
                (r"""(?P<matched>from ["'](?P<url>\.[^"']+)["'])""", 'from "%(url)s"'),
                (r"""(?P<matched>await import\(["'](?P<url>[^"']+)["']\))""", 'await import("%(url)s")'),
                (
                    r"""(?P<matched>new URL\(["'](?P<url>[^"']+)["'], import\.meta\.url\))""",
                    'new URL("%(url)s", import.meta.url)',
                ),
            ),
        ),
    )

    def load_manifest(self) -> tuple[dict[str, str], str]:
        if _collected_fingerprint() != _fingerprint():
            return {}, ""
        manifest: tuple[dict[str, str], str] = super().load_manifest()
        return manifest

    def stored_name(self, name: str) -> str:
        found: str = self.hashed_files.get(self.clean_name(name), name)
        return found

    def post_process(self, *args: Any, **options: Any) -> Iterator[Any]:
        _marker_path().unlink(missing_ok=True)
        yield from super().post_process(*args, **options)
        # Written last: an interrupted collection is not used.
        _marker_path().write_text(_fingerprint())

    def create_compressor(self, **options: Any) -> Compressor:
        return PageCompressor(**options)


def collect() -> None:
    """Collect the static files into `STATIC_ROOT`, unless those of the current sources are there."""
    if _collected_fingerprint() == _fingerprint():
        return
    try:
        call_command("collectstatic", interactive=False, verbosity=0)
        _remove_old()
    except (OSError, ValueError, RuntimeError) as error:
        # A full disk, or a file of an operator's own app that references a missing one.
        logger.warning("Static files are served uncompressed: they cannot be collected. %s", error)


def _remove_old() -> None:
    collected = storages["staticfiles"]
    assert isinstance(collected, CollectedFilesStorage)
    current = {name for hashed in collected.hashed_files.values() for name in _variants(hashed)}
    kept = {MARKER, collected.manifest_name}
    before = time.time() - KEPT_SECONDS
    root = Path(settings.STATIC_ROOT)
    for path in root.rglob("*"):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name not in current | kept and path.stat().st_mtime < before:
            path.unlink()


def _variants(name: str) -> tuple[str, str, str]:
    return name, f"{name}.br", f"{name}.gz"


def _marker_path() -> Path:
    return Path(settings.STATIC_ROOT) / MARKER


def _collected_fingerprint() -> str | None:
    try:
        return _marker_path().read_text()
    except OSError:
        return None


def _fingerprint() -> str:
    """Return a value that changes with the sources: a hash of the names, sizes and times of all files."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for finder in finders.get_finders():
        for name, storage in finder.list(None):
            path = Path(storage.path(name))
            stat = path.stat()
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
