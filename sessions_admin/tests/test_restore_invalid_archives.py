"""An archive that is not a sound backup is refused with a one-line error, before anything large is written."""

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
from sessions_admin.tests.conftest import MakeSession
from sessions_admin.tests.test_backup import rewrite_backup

pytestmark = pytest.mark.django_db(transaction=True)

ArchiveWriter = Callable[[Path, Path], object]
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def backup_file(
    transactional_db: None, owner: User, make_session: MakeSession, tmp_path: Path, settings: Settings
) -> Path:
    """A sound backup."""
    make_session(owner)
    (folder := tmp_path / "backups").mkdir()
    settings.DATA_DIR = tmp_path
    backup(folder / "copy.zip", actor="os:root")
    return folder / "copy.zip"


def restore_error(path: Path, *options: str) -> str:
    """Restore an archive; return the error message, or an empty string."""
    try:
        call_command("restore", str(path), "--force", *options, stdout=StringIO())
    except CommandError as error:
        return str(error)
    return ""


def write_changed(source: Path, target: Path, **members: bytes | str | None) -> None:
    """Copy an archive with some members replaced, by their base names; None removes a member."""
    with ZipFile(source) as old, ZipFile(target, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = members.get(name.rpartition("/")[2].partition(".")[0], old.read(name))
            if data is not None:
                new.writestr(name, data)


def write_manifest(source: Path, target: Path, **values: object) -> None:
    """Copy an archive with other values in its manifest."""
    with ZipFile(source) as old:
        write_changed(source, target, manifest=json.dumps(json.loads(old.read(MANIFEST)) | values))


def _marked_as_encrypted(source: Path, target: Path) -> None:
    data = bytearray(source.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 1)
    target.write_bytes(data)


def _with_member(
    name: str, *, mode: int = stat.S_IFREG | 0o600, compression: int = ZIP_DEFLATED, data: bytes = b"x"
) -> ArchiveWriter:
    def write(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        info = ZipInfo(name)
        info.external_attr, info.compress_type = mode << 16, compression
        with ZipFile(target, "a") as file:
            file.writestr(info, data)

    return write


def _with_many_members(source: Path, target: Path) -> None:
    with ZipFile(target, "w") as file:
        for n in range(2_000):
            file.writestr(f"record/t{n}", b"")


def _truncated(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes()[:-100])


def _with_a_view(source: Path, target: Path) -> None:
    with ZipFile(source) as file:
        (path := target.with_name("memory.db")).write_bytes(file.read(MEMORY))
    with sqlite3.connect(path) as memory:
        memory.execute("ALTER TABLE agent_messages RENAME TO other")
        endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        memory.execute(f"CREATE VIEW agent_messages AS {endless}")
    memory.close()

    def replace(_: object, members: dict[str, bytes]) -> None:
        members[MEMORY] = path.read_bytes()

    rewrite_backup(source, replace).replace(target)


def _with_an_invalid_utf8_name(source: Path, target: Path) -> None:
    data = source.read_bytes()
    at = data.rfind(MANIFEST.encode())
    flags = data.rfind(b"PK\x01\x02") + 8
    bad = bytearray(data)
    bad[at : at + 1], bad[flags : flags + 2] = b"\xff", struct.pack("<H", 0x800)
    target.write_bytes(bad)


INVALID_ARCHIVES: dict[str, tuple[ArchiveWriter, str]] = {
    "encrypted": (_marked_as_encrypted, "encrypted"),
    "deeply nested manifest": (lambda s, t: write_changed(s, t, manifest=DEEP), "its manifest"),
    "deeply nested value in the manifest": (
        lambda s, t: write_changed(s, t, manifest='{"format": 1, "x": ' + DEEP + "}"),
        "its manifest",
    ),
    "manifest is not JSON": (lambda s, t: write_changed(s, t, manifest=b"\xff\x00{"), "its manifest"),
    "manifest too large": (lambda s, t: write_changed(s, t, manifest=" " * 5_000_000), "manifest is too large"),
    "no manifest": (lambda s, t: write_changed(s, t, manifest=None), "not a backup"),
    "manifest is a list": (lambda s, t: write_changed(s, t, manifest="[]"), "its manifest"),
    "version is a number": (lambda s, t: write_manifest(s, t, version=6), "its manifest"),
    "version too long": (lambda s, t: write_manifest(s, t, version="9" * 5_000), "its manifest"),
    "invalid date": (lambda s, t: write_manifest(s, t, made_at="2026-13-01T00:00"), "its manifest"),
    "invalid migrations": (lambda s, t: write_manifest(s, t, migrations=[["chat"]]), "its manifest"),
    "invalid memory counts": (lambda s, t: write_manifest(s, t, memory={"agent_sessions": "many"}), "its manifest"),
    "invalid table name": (
        lambda s, t: write_manifest(s, t, tables={"../../etc": {"columns": [], "rows": 0}}),
        "its manifest",
    ),
    "columns are not a list": (
        lambda s, t: write_manifest(s, t, tables={"chat_user": {"columns": 1, "rows": 0}}),
        "its manifest",
    ),
    "invalid column name": (
        lambda s, t: write_manifest(s, t, tables={"chat_user": {"columns": ["a\0"], "rows": 0}}),
        "its manifest",
    ),
    "no member sizes": (lambda s, t: write_manifest(s, t, sizes={}), "its members differ"),
    "wrong member size": (lambda s, t: write_manifest(s, t, sizes={MEMORY: 1}), "its members differ"),
    "unknown format": (lambda s, t: write_manifest(s, t, format=3), "another version"),
    "truncated": (_truncated, "not a backup, or it is damaged"),
    "text file": (lambda s, t: t.write_text("no zip"), "not a backup, or it is damaged"),
    "empty file": (lambda s, t: t.write_bytes(b""), "not a backup, or it is damaged"),
    "missing file": (lambda s, t: None, "No such file"),
    "directory": (lambda s, t: t.mkdir(), "is not a file"),
    "named pipe": (lambda s, t: os.mkfifo(t), "is not a file"),
    "duplicate member": (_with_member(MANIFEST), "same name"),
    "member path with ..": (_with_member("../../escaped"), "its members differ"),
    "absolute member path": (_with_member("/etc/escaped"), "its members differ"),
    "symbolic link": (_with_member("link", mode=stat.S_IFLNK | 0o777, data=b"/etc/passwd"), "invalid members"),
    "directory member": (_with_member("folder/", mode=stat.S_IFDIR | 0o700, data=b""), "invalid members"),
    "unsupported compression": (_with_member("more", compression=ZIP_BZIP2), "invalid members"),
    "too many members": (_with_many_members, "too many members"),
    "member name is not UTF-8": (_with_an_invalid_utf8_name, "not a backup, or it is damaged"),
    "view instead of a table": (_with_a_view, "no table agent_messages"),
}


def test_invalid_archive_is_refused_with_one_line_and_changes_nothing(
    backup_file: Path, session_file: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    # One test for all archives, because the database is emptied after each test.
    before = session_file.read_bytes()
    for name, (write, expected) in INVALID_ARCHIVES.items():
        archive_path = tmp_path / f"{name}.zip"
        write(backup_file, archive_path)
        for options in (["--dry-run"], []):
            error_text = restore_error(archive_path, *options)
            assert expected in error_text, f"{name}: {error_text!r}"
            assert "\n" not in error_text
    assert session_file.read_bytes() == before
    assert AgentSession.objects.count() == 1
    assert not list(session_file.parent.glob(".restore-*"))


def test_zip_bomb_is_refused_and_max_size_changes_the_limit(
    backup_file: Path, session_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "ALWAYS_PLAUSIBLE", 2**20)  # 1 GB takes long to pack
    bomb = tmp_path / "bomb.zip"
    with ZipFile(backup_file) as old, ZipFile(bomb, "w", ZIP_DEFLATED, compresslevel=9) as new:
        for name in old.namelist():
            if name != MEMORY:
                new.writestr(name, old.read(name))
        with new.open(MEMORY, "w", force_zip64=True) as member:
            for _ in range(6):
                member.write(bytes(2**24))

    error_text = restore_error(bomb)

    assert "unpacks to 96.0 MB, more than the " in error_text
    assert "--max-size" in error_text
    assert "its members differ" in restore_error(bomb, "--max-size", "4G")  # the manifest has the size, too
    assert "more than the 1.0 KB" in restore_error(backup_file, "--max-size", "1K")
    assert restore_error(backup_file, "--max-size", "1G") == ""


def test_member_larger_than_its_directory_entry_is_refused(backup_file: Path, tmp_path: Path) -> None:
    def add_large_member(_: object, members: dict[str, bytes]) -> None:
        members["record/chat_user"] = b"x\n" * 1_000_000

    data = bytearray(rewrite_backup(backup_file, add_large_member).read_bytes())
    at = data.find(struct.pack("<I", 2_000_000))
    while at >= 0:
        data[at : at + 4] = struct.pack("<I", 20)
        at = data.find(struct.pack("<I", 2_000_000), at + 1)
    (path := tmp_path / "lie.zip").write_bytes(data)

    assert "not a backup, or it is damaged" in restore_error(path) or "its members differ" in restore_error(path)


def test_restore_without_enough_disk_space_is_refused(
    backup_file: Path, session_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))

    assert "There is not enough space to unpack this backup" in restore_error(backup_file)
