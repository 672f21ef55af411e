"""AGENT_MODELS is validated: an error is one sentence with its place in the file and without secrets."""

import os
from decimal import Decimal
from pathlib import Path

import pytest

from config.exceptions import CannotStart
from config.models_file import ModelsFile, read_models
from config.tests.support import run

SECRET = "sk-hidden-0123456789"
LOCAL = 'base_url = "http://127.0.0.1:1/v1"\n'


@pytest.fixture(autouse=True)
def api_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_KEY", SECRET)
    monkeypatch.setenv("BROKEN_KEY", f"{SECRET}\n{SECRET}")


def read(folder: Path, text: str) -> ModelsFile:
    path = folder / "models.toml"
    path.write_text(text)
    return read_models(path, context_tokens=32_000)


def model(lines: str, name: str = "fast") -> str:
    return f'[[models]]\nname = "{name}"\n{lines}\n'


def test_file_is_read_with_defaults_for_missing_fields(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        """
        currency = "EUR"

        [[models]]
        name = "fast"
        label = "Fast"
        model = "gpt-5-mini"
        api_key_env = "FIRST_KEY"
        input_price = 0.25
        output_price = 2
        fallback = ["local"]

        [[models]]
        name = "local"
        base_url = "http://127.0.0.1:11434/v1"
        api = "chat_completions"
        context_tokens = 8192
        reasoning = "omit"
        omit = ["store", "tools.strict"]
        """,
    )

    assert file.currency == "EUR"
    first, second = file.models
    assert first == {
        "name": "fast",
        "label": "Fast",
        "model": "gpt-5-mini",
        "base_url": "",
        "api_key": SECRET,
        "api": "responses",
        "context_tokens": 32_000,
        "reasoning": "auto",
        "omit": [],
        "input_price": Decimal("0.25"),
        "output_price": Decimal(2),
        "fallback": ["local"],
    }
    assert (second["label"], second["model"], second["api_key"]) == ("local", "local", "")
    assert (second["context_tokens"], second["omit"]) == (8192, ["store", "tools.strict"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it must have at least one [[models]] table"),
        ("models = 3", "it must have at least one [[models]] table"),
        ("[[models]]\nname = \n", "line 2 is not TOML"),
        ("models = [", "its end is not TOML"),
        ('currency = "dollars"', "currency must be three capital letters such as USD"),
        ("[[model]]", "model is not known; there are currency, models"),
        (f"[[models]]\n{LOCAL}", "model 1: name is missing"),
        (model(LOCAL, "a b"), "model 1: name must be up to 64 letters, digits, dots, hyphens and underscores"),
        (model(LOCAL) + model(LOCAL), "model 2 (fast): the name is used by an earlier model"),
        (model(LOCAL + "temprature = 1"), "model 1 (fast): temprature is not known; there are"),
        (model(f'{LOCAL}api_key = "{SECRET}"'), "model 1 (fast): a key does not belong into this file"),
        (model(f'api_key_env = "{SECRET}"'), "model 1 (fast): api_key_env must be the name of a variable"),
        (model('api_key_env = "NO_SUCH_KEY"'), "the variable NO_SUCH_KEY, which api_key_env names, is not set"),
        (model(""), "model 1 (fast): api_key_env is missing"),
        (model(f'base_url = "ftp://me:{SECRET}@host"'), "model 1 (fast): base_url: it must be a URL that begins with"),
        (model(LOCAL + 'api = "chat"'), "model 1 (fast): api must be responses or chat_completions"),
        (model(LOCAL + "api = []"), "model 1 (fast): api must be responses or chat_completions"),
        (model(LOCAL + "context_tokens = 10"), "context_tokens must be a whole number from 1000 to"),
        (model(LOCAL + 'reasoning = "yes"'), "reasoning must be auto, return or omit"),
        (model(LOCAL + 'omit = ["a b"]'), "omit: it must be a comma-separated list of names such as"),
        (model(LOCAL + 'omit = ["model"]'), "model 1 (fast): omit: a request needs model"),
        (model('api_key_env = "BROKEN_KEY"'), "BROKEN_KEY, which api_key_env names: a key must be one line of ASCII"),
        (model(LOCAL + "input_price = 1"), "input_price and output_price must be given together"),
        (model(LOCAL + "input_price = -1\noutput_price = 1"), "input_price must be a number from 0"),
        (model(LOCAL + "input_price = nan\noutput_price = 1"), "input_price must be a number from 0"),
        (model(LOCAL + 'fallback = ["slow"]'), "fallback must list names of other models in this file"),
        (model(LOCAL + 'fallback = ["fast"]'), "fallback must list names of other models in this file"),
        (model(LOCAL + "label = 3"), "label must be a text of up to 60 characters"),
    ],
)
def test_invalid_file_is_reported_in_one_sentence_without_secret(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(CannotStart) as raised:
        read(tmp_path, text)

    message = str(raised.value)
    assert message.startswith(f"AGENT_MODELS, {tmp_path / 'models.toml'}: ")
    assert reason in message
    assert message.endswith(".") and "\n" not in message
    assert SECRET not in message


def test_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="it cannot be read: No such file or directory"):
        read_models(tmp_path / "models.toml", context_tokens=32_000)


@pytest.mark.service
@pytest.mark.parametrize("command", [["up"], ["qcluster"], ["check"], ["session_stats"]], ids=" ".join)
def test_every_process_refuses_an_invalid_file(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "models.toml").write_text(model(""))
    variables = {"DATA_DIR": str(tmp_path), "AGENT_MODELS": os.fspath(tmp_path / "models.toml")}

    result = run("manage.py", *command, **variables)

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert "model 1 (fast): api_key_env is missing" in result.stderr
