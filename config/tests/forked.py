"""Run Python programs in forked processes that share their first imports.

A server spends most of its start on imports of the Agents SDK. Each test process has one fork server with these
imports, and each server is a fork of it: an ordinary process with a pid of its own, which a test can kill.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

from config.runtime.processes import exit_with_parent

_context = multiprocessing.get_context("forkserver")
# No module that reads the settings, as ninja does, or the environment, as prometheus_client does, and none that creates
# an event loop.
_context.set_forkserver_preload(
    [
        "agents",
        "aiosqlite",
        "autobahn.twisted.websocket",
        "channels.generic.websocket",
        "channels.layers",
        "chat.assistant.offline.model",
        "chatkit.server",
        "chatkit.widgets",
        "comrak",
        "croniter",
        "csp.middleware",
        "daphne.http_protocol",
        "django.contrib.admin.options",
        "django.contrib.auth.hashers",
        "django.contrib.postgres.fields",
        "django.contrib.postgres.indexes",
        "django.contrib.sessions.middleware",
        "django.contrib.staticfiles.storage",
        "django.core.handlers.asgi",
        "django.core.management",
        "django.db.backends.postgresql.base",
        "django.db.migrations.executor",
        "django.db.migrations.writer",
        "django.test.client",
        "django.utils.feedgenerator",
        "django.views.generic",
        "django_stubs_ext",
        "dotenv.main",
        "httpx",
        "jinja2",
        "mcp",
        "nh3",
        "openai.types.responses",
        "packaging.version",
        "psutil",
        "psycopg_pool",
        "pydantic.root_model",
        "rapidfuzz",
        "twisted.internet.asyncioreactor",
        "twisted.internet.ssl",
        "twisted.internet.tcp",
        "twisted.web.http",
        "unittest.mock",
        "whitenoise.middleware",
        "whitenoise.storage",
        "config.tests.frozen",  # last
    ]
)


class Forked:
    """A module that runs as a program, with the methods of `subprocess.Popen`."""

    def __init__(
        self,
        module: str,
        *words: str,
        env: Mapping[str, str],
        cwd: Path,
        output: Path,
        errors: Path | None = None,
    ) -> None:
        forkserver.ensure_running()
        arguments = (module, words, dict(env), str(cwd), str(output), str(errors or output))
        self._process: BaseProcess = _context.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process and return its exit code; raise subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal if the process runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(module: str, words: Sequence[str], env: Mapping[str, str], cwd: str, output: str, errors: str) -> None:
    os.setsid()
    # Unlike a daemon process, the program may start processes with multiprocessing itself.
    multiprocessing.current_process().daemon = False
    exit_with_parent(os.getppid(), signal.SIGTERM)()
    for descriptor, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
