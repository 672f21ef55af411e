"""An archive that is no sound backup is refused in one sentence, and before anything large is written."""

import json
import os
import shutil
import sqlite3
import stat
import struct
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile, ZipInfo

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from chat.models import AgentSession, User
from sessions_admin.stores import archive
from sessions_admin.stores.archive import MANIFEST, MEMORY
from sessions_admin.stores.backup import backup
from sessions_admin.tests.conftest import GivenSession
from sessions_admin.tests.test_backup import rewrite

pytestmark = pytest.mark.django_db(transaction=True)

Odd = Callable[[Path, Path], object]
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def copy(transactional_db: None, owner: User, given_session: GivenSession, tmp_path: Path, settings: Settings) -> Path:
    """A sound backup."""
    given_session(owner)
    (folder := tmp_path / "backups").mkdir()
    settings.DATA_DIR = tmp_path
    backup(folder / "copy.zip", actor="os:root")
    return folder / "copy.zip"


def restored(path: Path, *options: str) -> str:
    """Restore an archive; return the sentence with which that was refused."""
    try:
        call_command("restore", str(path), "--force", *options, stdout=StringIO())
    except CommandError as error:
        return str(error)
    return ""


def changed(source: Path, target: Path, **members: bytes | str | None) -> None:
    """Copy an archive with some members replaced, by the last part of their names."""
    with ZipFile(source) as old, ZipFile(target, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = members.get(name.rpartition("/")[2].partition(".")[0], old.read(name))
            if data is not None:
                new.writestr(name, data)


def manifest(source: Path, target: Path, **values: object) -> None:
    """Copy an archive with something else in its manifest."""
    with ZipFile(source) as old:
        changed(source, target, manifest=json.dumps(json.loads(old.read(MANIFEST)) | values))


def _marked_as_encrypted(source: Path, target: Path) -> None:
    data = bytearray(source.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 1)
    target.write_bytes(data)


def _with(name: str, *, mode: int = stat.S_IFREG | 0o600, how: int = ZIP_DEFLATED, data: bytes = b"x") -> Odd:
    def write(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        info = ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, how
        with ZipFile(target, "a") as file:
            file.writestr(info, data)

    return write


def _many(source: Path, target: Path) -> None:
    with ZipFile(target, "w") as file:
        for n in range(2_000):
            file.writestr(f"record/t{n}", b"")


def _cut(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:-100])


def _a_view(source: Path, target: Path) -> None:
    with ZipFile(source) as file:
        (path := target.with_name("memory.db")).write_bytes(file.read(MEMORY))
    with sqlite3.connect(path) as memory:
        memory.execute("ALTER TABLE agent_messages RENAME TO other")
        endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        memory.execute(f"CREATE VIEW agent_messages AS {endless}")
    memory.close()

    def replace(_: object, members: dict[str, bytes]) -> None:
        members[MEMORY] = path.read_bytes()

    rewrite(source, replace).replace(target)


def _a_name_that_is_no_unicode(source: Path, target: Path) -> None:
    data = source.read_bytes()
    at = data.rfind(MANIFEST.encode())
    flags = data.rfind(b"PK\x01\x02") + 8
    bad = bytearray(data)
    bad[at : at + 1], bad[flags : flags + 2] = b"\xff", struct.pack("<H", 0x800)
    target.write_bytes(bad)


ODD: dict[str, tuple[Odd, str]] = {
    "encrypted": (_marked_as_encrypted, "encrypted"),
    "nested": (lambda s, t: changed(s, t, manifest=DEEP), "its manifest"),
    "nested within": (lambda s, t: changed(s, t, manifest='{"format": 1, "x": ' + DEEP + "}"), "its manifest"),
    "no JSON": (lambda s, t: changed(s, t, manifest=b"\xff\x00{"), "its manifest"),
    "a large manifest": (lambda s, t: changed(s, t, manifest=" " * 5_000_000), "manifest is too large"),
    "no manifest": (lambda s, t: changed(s, t, manifest=None), "not a backup"),
    "a list": (lambda s, t: changed(s, t, manifest="[]"), "its manifest"),
    "version": (lambda s, t: manifest(s, t, version=6), "its manifest"),
    "a long version": (lambda s, t: manifest(s, t, version="9" * 5_000), "its manifest"),
    "made never": (lambda s, t: manifest(s, t, made_at="2026-13-01T00:00"), "its manifest"),
    "migrations": (lambda s, t: manifest(s, t, migrations=[["chat"]]), "its manifest"),
    "memory": (lambda s, t: manifest(s, t, memory={"agent_sessions": "many"}), "its manifest"),
    "tables": (lambda s, t: manifest(s, t, tables={"../../etc": {"columns": [], "rows": 0}}), "its manifest"),
    "columns": (lambda s, t: manifest(s, t, tables={"chat_user": {"columns": 1, "rows": 0}}), "its manifest"),
    "no column": (lambda s, t: manifest(s, t, tables={"chat_user": {"columns": ["a\0"], "rows": 0}}), "its manifest"),
    "no sizes": (lambda s, t: manifest(s, t, sizes={}), "its members differ"),
    "sizes": (lambda s, t: manifest(s, t, sizes={MEMORY: 1}), "its members differ"),
    "another format": (lambda s, t: manifest(s, t, format=3), "another version"),
    "cut": (_cut, "not a backup, or it is damaged"),
    "text": (lambda s, t: t.write_text("no zip"), "not a backup, or it is damaged"),
    "empty": (lambda s, t: t.write_bytes(b""), "not a backup, or it is damaged"),
    "missing": (lambda s, t: None, "No such file"),
    "a folder": (lambda s, t: t.mkdir(), "is not a file"),
    "a pipe": (lambda s, t: os.mkfifo(t), "is not a file"),
    "the same name": (_with(MANIFEST), "same name"),
    "a path upwards": (_with("../../escaped"), "its members differ"),
    "a path from the root": (_with("/etc/escaped"), "its members differ"),
    "a link": (_with("link", mode=stat.S_IFLNK | 0o777, data=b"/etc/passwd"), "invalid members"),
    "a folder within": (_with("folder/", mode=stat.S_IFDIR | 0o700, data=b""), "invalid members"),
    "packed otherwise": (_with("more", how=ZIP_BZIP2), "invalid members"),
    "many": (_many, "too many members"),
    "no Unicode": (_a_name_that_is_no_unicode, "not a backup, or it is damaged"),
    "a view": (_a_view, "no table agent_messages"),
}


def test_each_is_refused_in_one_sentence_and_changes_nothing(
    copy: Path, session_file: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    # One test for all of them: a database is emptied after each test.
    before = session_file.read_bytes()
    for name, (write, expected) in ODD.items():
        odd = tmp_path / f"{name}.zip"
        write(copy, odd)
        for options in (["--dry-run"], []):
            said = restored(odd, *options)
            assert expected in said, f"{name}: {said!r}"
            assert "\n" not in said
    assert session_file.read_bytes() == before
    assert AgentSession.objects.count() == 1
    assert not list(session_file.parent.glob(".restore-*"))


def test_a_bomb_is_refused_before_it_is_unpacked_and_a_limit_can_be_raised(
    copy: Path, session_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ALWAYS_PLAUSIBLE", 2**20)  # 1 GB takes long to pack
    bomb = tmp_path / "bomb.zip"
    with ZipFile(copy) as old, ZipFile(bomb, "w", ZIP_DEFLATED, compresslevel=9) as new:
        for name in old.namelist():
            if name != MEMORY:
                new.writestr(name, old.read(name))
        with new.open(MEMORY, "w", force_zip64=True) as member:
            for _ in range(6):
                member.write(bytes(2**24))

    said = restored(bomb)

    assert "unpacks to 96.0 MB, more than the " in said
    assert "--max-size" in said
    assert "its members differ" in restored(bomb, "--max-size", "4G")  # the manifest knows the size, too
    assert "more than the 1.0 KB" in restored(copy, "--max-size", "1K")
    assert restored(copy, "--max-size", "1G") == ""


def test_a_part_that_is_larger_than_the_directory_says_is_not_unpacked_further(copy: Path, tmp_path: Path) -> None:
    def lie(_: object, members: dict[str, bytes]) -> None:
        members["record/chat_user"] = b"x\n" * 1_000_000

    data = bytearray(rewrite(copy, lie).read_bytes())
    at = data.find(struct.pack("<I", 2_000_000))
    while at >= 0:
        data[at : at + 4] = struct.pack("<I", 20)
        at = data.find(struct.pack("<I", 2_000_000), at + 1)
    (path := tmp_path / "lie.zip").write_bytes(data)

    assert "not a backup, or it is damaged" in restored(path) or "its members differ" in restored(path)


def test_what_does_not_fit_on_the_disk_is_not_begun(
    copy: Path, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))

    assert "There is not enough space to unpack this backup" in restored(copy)
