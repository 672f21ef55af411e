"""The deployment of compose.yaml without containers: the same files, commands, secrets and proxy.

Tests cannot build an image. Everything else is as in `deploy/`: the commands of compose.yaml run the files of the image
behind nginx with its configuration file, with the secrets of `make-secrets` and a Redis with its configuration.
"""

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from config.runtime.processes import spawn
from config.tests.nginx import TEMPLATE, Nginx, program
from config.tests.support import PASSWORD, ROOT, SECONDS, LiveDatabase, clean_environment, eventually, free_port

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVER_NAME = "localhost"


def test_systemd_units_and_chart_run_the_commands_of_compose() -> None:
    commands = {name: SERVICES[name]["command"] for name in ("server", "worker")}
    for unit, name in (("threadkeeper", "server"), ("threadkeeper-worker", "worker")):
        text = (DEPLOY / f"systemd/{unit}.service").read_text()
        words = shlex.split(re.search("^ExecStart=(.*)$", text, re.M)[1])  # type: ignore[index]
        # With systemd the proxy is on the same machine.
        assert ["python", *words[1:]] == shlex.split(shlex.join(commands[name]).replace("--host 0.0.0.0 ", ""))
    chart = (DEPLOY / "helm/threadkeeper/templates/servers.yaml").read_text()
    assert "[python, manage.py, up, --host, 0.0.0.0, --servers, " in chart and ", --no-worker" in chart
    assert f"[{', '.join(commands['worker'])}]" in (DEPLOY / "helm/threadkeeper/templates/worker.yaml").read_text()


def test_chart_has_the_version_of_the_product() -> None:
    chart = yaml.safe_load((DEPLOY / "helm/threadkeeper/Chart.yaml").read_text())
    assert f'VERSION = "{chart["appVersion"]}"' in (ROOT / "config/settings.py").read_text()


def test_only_the_proxy_is_reachable_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert [name for name, service in SERVICES.items() if "outside" not in service["networks"]] == ["postgres", "redis"]
    for name, service in SERVICES.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["mem_limit"], name
        assert name == "postgres" or service["read_only"], name


def test_compose_and_docs_set_every_variable_of_the_proxy() -> None:
    expected = set(re.findall(r"\$\{([A-Z_]+)\}", TEMPLATE.read_text()))
    assert set(SERVICES["proxy"]["environment"]) == expected
    for path in (TEMPLATE, ROOT / "docs/how-to/deploy.md"):
        [listed] = re.findall(r"envsubst '([^']+)'", path.read_text())
        assert set(listed.replace("$", "").split()) == expected, path


@dataclass
class Deployment:
    """The running processes, and the URL of the proxy."""

    url: str
    certificate: Path
    port: int  # of the servers
    app: Path
    files: dict[Path, int]  # of the app, with their modification times when they were copied
    processes: "dict[str, subprocess.Popen[bytes]]"


def copy_image_files(folder: Path) -> Path:
    """Copy the files of the image into a folder, and return it."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    dropped = shutil.ignore_patterns(*(line[3:] for line in lines if line.startswith("**/")))
    folder.mkdir()
    for source in (ROOT / line[1:] for line in lines if line.startswith("!")):
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=dropped)
        else:
            shutil.copy(source, folder)
    return folder


def files_in(folder: Path) -> dict[Path, int]:
    """Return the files and folders below a folder, with their modification times."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def variables(folder: Path, service: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a service from the image and compose, with folders of the test."""
    image_variables = dict(re.findall(r"^(?:ENV)? +(\w+)=(\S+)", DOCKERFILE.split("FROM ")[-1], re.M))
    compose_variables = {
        name: str(value).replace("${SERVER_NAME:?}", SERVER_NAME).replace("${ROOT_PATH:-}", "")
        for name, value in service["environment"].items()
    }
    assert compose_variables["ENV_FILE"] == "/run/secrets/settings" and image_variables["DATA_DIR"] == "/data"
    test_variables = {"ENV_FILE": str(folder / "secrets/settings.env"), "DATA_DIR": str(folder / "data")}
    return image_variables | compose_variables | test_variables | {"PATH": os.environ["PATH"]}


def make_secrets(folder: Path, database_url: str, redis_port: int) -> None:
    """Create the secrets that compose mounts, with the URLs of the test's database and Redis."""
    subprocess.run([DEPLOY / "make-secrets", folder], check=True, timeout=SECONDS)
    secrets = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run([DEPLOY / "make-secrets", folder], check=True, timeout=SECONDS)
    assert {path.name: path.read_text() for path in folder.iterdir()} == secrets
    text = re.sub("^DATABASE_URL=.*$", f"DATABASE_URL={database_url}", secrets["settings.env"], flags=re.M)
    (folder / "settings.env").chmod(0o600)
    (folder / "settings.env").write_text(text.replace("@redis:6379", f"@127.0.0.1:{redis_port}"))


@pytest.fixture
def deployment(live_database: LiveDatabase, tmp_path: Path) -> Iterator[Deployment]:
    port, redis_port = free_port(), free_port()
    secrets = tmp_path / "secrets"
    make_secrets(secrets, live_database.url, redis_port)
    redis_server, configuration = SERVICES["redis"]["command"]
    assert configuration == "/run/secrets/redis"
    app = copy_image_files(tmp_path / "app")
    files = files_in(app)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with open(tmp_path / "log", "wb") as log, ExitStack() as stack:

        def start(name: str, *options: str) -> None:
            words = [sys.executable, *SERVICES[name]["command"][1:], *options]
            env = clean_environment(**variables(tmp_path, SERVICES[name]))
            processes[name] = spawn(words, env=env, output=log, cwd=app)

        command = [program(redis_server), str(secrets / "redis.conf"), "--port", str(redis_port)]
        processes["redis"] = spawn(command, output=log, cwd=tmp_path)
        try:
            start("server", "--port", str(port))
            eventually(lambda: server_responds(port, processes, tmp_path / "log"), within=120, what="the server")
            start("worker")
            proxy = stack.enter_context(Nginx(tmp_path, f"127.0.0.1:{port}", port=free_port()))
            yield Deployment(proxy.url, tmp_path / "certificate.pem", port, app, files, processes)
        finally:
            for process in processes.values():
                process.kill()
                process.wait(SECONDS)


def server_responds(port: int, processes: "dict[str, subprocess.Popen[bytes]]", log: Path) -> bool:
    """Return whether the server responds; fail if it has exited."""
    assert processes["server"].poll() is None, log.read_text()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.long
@pytest.mark.service
def test_compose_deployment_serves_chat_and_stops_cleanly(deployment: Deployment) -> None:
    trust = ssl.create_default_context(cafile=deployment.certificate)
    with httpx.Client(base_url=deployment.url, verify=trust, timeout=60) as site:
        eventually(lambda: site.get("/readyz").json()["status"] == "ready", within=120, what="/readyz")
        ready = site.get("/readyz").json()
        assert ready["redis"] and ready["worker"], ready
        account = {"email": f"{uuid.uuid4().hex[:8]}@example.com", "password": PASSWORD}
        key = site.post("/api/auth/register", json=account).json()["access_token"]
        site.headers["Authorization"] = f"Bearer {key}"
        thread = site.post("/api/chatkit/threads", json={}).json()["thread_id"]
        messages, message = f"/api/chatkit/threads/{thread}/messages", {"text": "Add a task to rest"}
        with site.stream("POST", messages, json=message) as response:
            assert response.status_code == 200
            kinds = [json.loads(line[5:])["type"] for line in response.iter_lines() if line.startswith("data:")]
        assert kinds[0] == "message_start" and kinds[-1] == "message_end" and "content_delta" in kinds
        assert site.get("/api/tasks").json()["items"][0]["title"] == "Rest"
        page = site.get("/accounts/login/")
        assert "max-age=" in page.headers["Strict-Transport-Security"]
        style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
        assert site.get("/accounts/reset/user/secret/").status_code == 200
        assert site.get("/search/", params={"q": "secret"}).status_code == 302
        assert style and re.search(r"\.[0-9a-f]{12}\.css$", style[1]) and site.get(style[1]).status_code == 200

    proxied = (deployment.certificate.parent / "nginx.log").read_text()
    assert " GET /accounts/reset/... 200 " in proxied and " GET /search/ 302 " in proxied and "secret" not in proxied

    [check] = re.findall(r"^HEALTHCHECK .*?CMD (\[.*\])$", DOCKERFILE.replace("\\\n", ""), re.M)
    words = [word.replace(":8000/", f":{deployment.port}/") for word in json.loads(check)]
    check_health = partial(subprocess.run, [sys.executable, *words[1:]], timeout=SECONDS, capture_output=True)
    assert check_health().returncode == 0
    servers = psutil.Process(deployment.processes["server"].pid).children()
    assert sum("config.runtime.asgi_server" in child.cmdline() for child in servers) == 2

    for name in ("worker", "server"):
        deployment.processes[name].terminate()
        assert deployment.processes[name].wait(SECONDS) == 0, name
    assert check_health().returncode == 1
    log = (deployment.app.parent / "log").read_text()
    assert not re.search('"level": "(ERROR|CRITICAL)"|Traceback', log), log
    # The containers have a read-only file system, so the server must not write files.
    assert files_in(deployment.app) == deployment.files
