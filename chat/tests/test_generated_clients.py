"""Clients that third-party generators create from the OpenAPI document work with a real server."""

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
    """Run a program, and return its output."""
    process = subprocess.run(
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
    assert process.returncode == 0, process.stdout
    return process.stdout


@pytest.fixture(scope="module")
def openapi_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "openapi.json"
    path.write_text(json.dumps(api.get_openapi_schema(), cls=DjangoJSONEncoder))
    return path


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, openapi_path: Path) -> Path:
    """A folder with the generators for TypeScript and the OpenAPI document."""
    if shutil.which("npm") is None:
        assert not os.environ.get(NODE_NEEDED), "npm is missing"
        pytest.skip("there is no npm here")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "tsconfig.json", "client.ts"):
        shutil.copy(HERE / name, folder)
    shutil.copy(openapi_path, folder)
    run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    return folder


@pytest.fixture
async def account(shared_server: ServerProcess) -> tuple[str, str, str]:
    person = await asyncio.to_thread(sign_in, shared_server)
    return shared_server.url, person.email, PASSWORD


def test_redocly_reports_no_problems(node: Path) -> None:
    output = run("npx", "redocly", "lint", "openapi.json", "--format=json", cwd=node)
    report, _ = json.JSONDecoder().raw_decode(output[output.index("{") :])
    totals = report["totals"]
    assert (totals["errors"], totals["warnings"]) == (0, 0), output


def test_typescript_clients_work(node: Path, account: tuple[str, str, str]) -> None:
    output = run("npx", "openapi-ts", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch", cwd=node)
    output += run("npx", "openapi-typescript", "openapi.json", "-o", "types/schema.ts", cwd=node)
    output += run("npx", "orval", "--input", "openapi.json", "--output", "orval/api.ts", "--client", "fetch", cwd=node)
    assert "warn" not in output.lower(), output
    run("npx", "tsc", cwd=node)
    run("npx", "esbuild", "client.ts", "--bundle", "--platform=node", "--format=esm", "--outfile=client.mjs", cwd=node)
    assert run("node", "client.mjs", *account, cwd=node) == "done\n"


def test_python_client_works(tmp_path: Path, openapi_path: Path, account: tuple[str, str, str]) -> None:
    generated = tmp_path / "threadkeeper_client"
    words = ("generate", "--path", openapi_path, "--output-path", generated, "--meta", "none")
    output = run(sys.executable, "-m", "openapi_python_client", *words, cwd=tmp_path)
    assert "WARNING" not in output, output
    run(sys.executable, "-m", "compileall", "-q", generated, cwd=tmp_path)
    assert run(sys.executable, HERE / "client.py", *account, cwd=tmp_path, PYTHONPATH=str(tmp_path)) == "done\n"


def test_generated_pydantic_models_validate_an_event(tmp_path: Path, openapi_path: Path) -> None:
    kinds = ("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel")
    run(
        sys.executable,
        "-m",
        "datamodel_code_generator",
        "--input",
        openapi_path,
        "--output",
        "models.py",
        *kinds,
        cwd=tmp_path,
    )
    use = "import models; print(models.TurnEvent.model_validate({'type': 'content_delta', 'delta': 'a'}).root.delta)"
    assert run(sys.executable, "-c", use, cwd=tmp_path) == "a\n"
