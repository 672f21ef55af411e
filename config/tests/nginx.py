"""An nginx proxy for tests, with the configuration file of deployments."""

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from config.runtime.processes import spawn
from config.tests.support import ROOT, SECONDS, eventually, free_port

TEMPLATE = ROOT / "deploy/nginx.conf.template"
# The main configuration of nginx's container image, which includes that file.
MAIN = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
events {{}}
http {{
    include /etc/nginx/mime.types;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def program(name: str) -> str:
    """Return the path of a system program; without it skip the test, or fail where it is required."""
    path_of_program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path_of_program is None:
        if os.environ.get("THREADKEEPER_REQUIRE_SERVICES"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path_of_program


class Nginx:
    """A real nginx on free ports, with a certificate of its own."""

    def __init__(self, folder: Path, upstream: str, *, port: int, root_path: str = "") -> None:
        self.port, self.http_port = port, free_port()
        self.url = f"https://localhost:{port}{root_path}"
        self.log = folder / "nginx.log"
        nginx = program("nginx")
        _make_certificate(folder)
        variables = {
            "HTTP_PORT": f"127.0.0.1:{self.http_port}",
            "HTTPS_PORT": f"127.0.0.1:{port}",
            "SERVER_NAME": "localhost",
            "ROOT_PATH": root_path,
            "UPSTREAM": upstream,
            "CERTIFICATE": f"{folder}/certificate.pem",
            "CERTIFICATE_KEY": f"{folder}/key.pem",
        }
        site = TEMPLATE.read_text()
        for name, value in variables.items():
            site = site.replace(f"${{{name}}}", value)
        (folder / "site.conf").write_text(site)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
        command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]
        with open(self.log, "wb") as output:
            self._process = spawn(command, output=output)
        eventually(self._answers, what=f"nginx:\n{self.log.read_text()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


def _make_certificate(folder: Path) -> None:
    subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-subj", "/CN=localhost", "-days", "2", "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True,
        capture_output=True,
    )
