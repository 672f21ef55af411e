"""Static files have hashed names, are cached for ever and are compressed, as pages are."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from config.static_files import KEPT_SECONDS, MARKER, collect
from config.tests.support import ROOT, LiveDatabase, ServerProcess, database, run

EMAIL = "person@example.com"


def collect_static(folder: Path) -> Path:
    """Collect the static files into a data folder with `collectstatic`."""
    completed = run(ROOT / "manage.py", "collectstatic", "--noinput", DATA_DIR=str(folder))
    assert completed.returncode == 0, completed.stderr
    return folder


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with collected files, shared since collecting takes seconds."""
    return collect_static(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def site(_migrated_template: str, collection: Path) -> Iterator[ServerProcess]:
    """A server with collected files."""
    with (
        database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url),
        ServerProcess(LiveDatabase(url), collection) as server,
    ):
        server.database.add_user(EMAIL)
        yield server


@pytest.fixture
def browser(site: ServerProcess) -> Iterator[httpx.Client]:
    with closing(site.client(EMAIL)) as browser:
        yield browser


def files_of(page: str) -> set[str]:
    return set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page))


@pytest.mark.service
def test_files_of_a_page_have_hashed_names_and_are_immutable(browser: httpx.Client) -> None:
    found = files_of(browser.get("/").text)
    assert any("/js/chat." in name for name in found) and any("/css/chat." in name for name in found)
    for name in found:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", name), name
        response = browser.get(name)
        assert response.status_code == 200
        assert (
            "immutable" in response.headers["Cache-Control"]
            and "max-age=315360000" in response.headers["Cache-Control"]
        )


@pytest.mark.long
@pytest.mark.service
def test_modules_import_each_other_by_hashed_names(browser: httpx.Client) -> None:
    import_pattern = re.compile(r"""(?:^import|^} from|from|await import\(|new URL\()\s*["'](\.[^"']+)["']""", re.M)
    (entry,) = (name for name in files_of(browser.get("/").text) if "/js/chat." in name)
    to_read, read = [httpx.URL(entry)], set()
    while to_read:
        url = to_read.pop()
        response = browser.get(url)
        assert response.status_code == 200, url
        assert "immutable" in response.headers["Cache-Control"], url
        read.add(url)
        found = {url.join(name) for name in import_pattern.findall(re.sub(r"/\*.*?\*/", "", response.text, flags=re.S))}
        to_read += [one for one in found - read if "/vendor/" not in url.path]
    assert {"highlight", "icons", "marked", "dom"} <= {url.path.rpartition("/")[2].partition(".")[0] for url in read}


@pytest.mark.service
@pytest.mark.parametrize(("accepted", "encoding"), [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("identity", None)])
def test_files_use_the_best_encoding_that_the_client_accepts(
    browser: httpx.Client, accepted: str, encoding: str | None
) -> None:
    (name,) = (name for name in files_of(browser.get("/").text) if "/js/chat." in name)
    with browser.stream("GET", name, headers={"Accept-Encoding": accepted}) as response:
        assert response.headers.get("Content-Encoding") == encoding
        assert response.headers["Vary"] == "Accept-Encoding"


@pytest.mark.service
@pytest.mark.parametrize("path", ["/", "/settings/"])
def test_pages_are_compressed(browser: httpx.Client, path: str) -> None:
    response = browser.get(path)
    assert response.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in response.headers["Vary"]
    assert response.headers["Content-Security-Policy"]


@pytest.mark.service
def test_api_responses_are_not_compressed(browser: httpx.Client) -> None:
    """A response may hold a token beside what the client has sent."""
    assert "Content-Encoding" not in browser.get("/api/openapi.json").headers


@pytest.mark.django_db
def test_uncollected_files_are_served_from_the_folders_of_apps(client: Client, settings: Settings) -> None:
    settings.WHITENOISE_AUTOREFRESH = False
    (name,) = (name for name in files_of(client.get("/accounts/login/").content.decode()) if "tokens" in name)
    assert name == "/static/css/tokens.css"
    with closing(client.get(name)) as response:
        assert response.status_code == 200


@pytest.mark.long
def test_files_are_collected_again_only_after_a_source_has_changed(
    collection: Path, tmp_path: Path, settings: Settings
) -> None:
    folder = shutil.copytree(collection / "static", tmp_path / "static")
    settings.STATIC_ROOT = folder
    mark, manifest = folder / MARKER, folder / "staticfiles.json"
    os.utime(manifest, (1, 1))
    collect()
    assert manifest.stat().st_mtime == 1

    old, recent = folder / "js" / "gone.0123456789ab.js", folder / "js" / "recent.0123456789ab.js"
    old.write_text("old")
    recent.write_text("of the version before")
    os.utime(old, (1, time.time() - KEPT_SECONDS - 60))
    mark.write_text("of other sources")
    completed = run(
        "-c",
        "import django; django.setup(); from config.static_files import collect; collect()",
        DATA_DIR=str(tmp_path),
        DJANGO_SETTINGS_MODULE="config.settings",
    )
    assert completed.returncode == 0, completed.stderr
    assert manifest.stat().st_mtime > 1
    assert not old.exists()
    assert recent.exists(), "pages of the previous version may still import it"


def test_failed_collection_is_logged_without_raising(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.STATIC_ROOT = tmp_path / "file"
    settings.STATIC_ROOT.write_text("in the way")
    collect()
    assert "cannot be collected" in caplog.text
