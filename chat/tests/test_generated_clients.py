"""Other people's generators make clients from the API's description, and these work with a real server."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.serializers.json import DjangoJSONEncoder

from chat.tests.live import sign_in
from config.api import api
from config.tests.support import PASSWORD, ServerProcess

pytestmark = [pytest.mark.service, pytest.mark.clients]

HERE = Path(__file__).parent / "clients"
NODE_NEEDED = "THREADKEEPER_REQUIRE_BROWSER"


def run(*words: str | Path, cwd: Path, **variables: str) -> str:
    """Run a program to its end, and return what it printed."""
    ended = subprocess.run(
        list(map(str, words)),
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "openapi.json"
    path.write_text(json.dumps(api.get_openapi_schema(), cls=DjangoJSONEncoder))
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, description: Path) -> Path:
    """A folder with the generators for TypeScript and the description of the API."""
    if shutil.which("npm") is None:
        assert not os.environ.get(NODE_NEEDED), "npm is missing"
        pytest.skip("there is no npm here")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "tsconfig.json", "client.ts"):
        shutil.copy(HERE / name, folder)
    shutil.copy(description, folder)
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    return folder


@pytest.fixture
async def account(shared_server: ServerProcess) -> tuple[str, str, str]:
    person = await asyncio.to_thread(sign_in, shared_server)
    return shared_server.url, person.email, PASSWORD


def test_redocly_finds_nothing(node: Path) -> None:
    found = run("npx", "redocly", "lint", "openapi.json", "--format=json", cwd=node)
    report, _ = json.JSONDecoder().raw_decode(found[found.index("{") :])
    totals = report["totals"]
    assert (totals["errors"], totals["warnings"]) == (0, 0), found


def test_typescript(node: Path, account: tuple[str, str, str]) -> None:
    printed = run("npx", "openapi-ts", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch", cwd=node)
    printed += run("npx", "openapi-typescript", "openapi.json", "-o", "types/schema.ts", cwd=node)
    printed += run("npx", "orval", "--input", "openapi.json", "--output", "orval/api.ts", "--client", "fetch", cwd=node)
    assert "warn" not in printed.lower(), printed
    run("npx", "tsc", cwd=node)
    run("npx", "esbuild", "client.ts", "--bundle", "--platform=node", "--format=esm", "--outfile=client.mjs", cwd=node)
    assert run("node", "client.mjs", *account, cwd=node) == "done\n"


def test_python(tmp_path: Path, description: Path, account: tuple[str, str, str]) -> None:
    generated = tmp_path / "threadkeeper_client"
    words = ("generate", "--path", description, "--output-path", generated, "--meta", "none")
    printed = run(sys.executable, "-m", "openapi_python_client", *words, cwd=tmp_path)
    assert "WARNING" not in printed, printed
    run(sys.executable, "-m", "compileall", "-q", generated, cwd=tmp_path)
    assert run(sys.executable, HERE / "client.py", *account, cwd=tmp_path, PYTHONPATH=str(tmp_path)) == "done\n"


def test_python_models(tmp_path: Path, description: Path) -> None:
    kinds = ("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel")
    run(
        sys.executable,
        "-m",
        "datamodel_code_generator",
        "--input",
        description,
        "--output",
        "models.py",
        *kinds,
        cwd=tmp_path,
    )
    use = "import models; print(models.TurnEvent.model_validate({'type': 'content_delta', 'delta': 'a'}).root.delta)"
    assert run(sys.executable, "-c", use, cwd=tmp_path) == "a\n"
