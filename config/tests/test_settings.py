"""Settings are read strictly: what cannot be used stops the start and says what can."""

from pathlib import Path

import pytest

from config.tests.support import run

READ = "from config import settings; print(settings.{})"


def refused(tmp_path: Path, name: str, value: str) -> str:
    ended = run("-c", "import config.settings", **{"DATA_DIR": str(tmp_path), name: value})
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr.strip()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("AGENT_SESSION_MAX_MESSAGES", "many", "a whole number from 4 to 2147483647"),
        ("AGENT_SESSION_MAX_MESSAGES", "3", "a whole number from 4 to 2147483647"),
        ("AGENT_SESSION_RETENTION_DAYS", "-1", "a whole number from 1 to 2147483647"),
        ("AGENT_SESSION_CLEANUP_HOUR", "24", "a whole number from 0 to 23"),
        ("AGENT_SESSION_RETENTION_DAYS", "7.5", "a whole number from 1 to 2147483647"),
        ("DEBUG", "maybe", "one of on, off, true, false, yes, no, 1, 0"),
        ("AGENT_GUARDRAIL", "2", "one of on, off, true, false, yes, no, 1, 0"),
        ("SIGNUP", "invite", "one of open, closed"),
        ("AGENT_API", "assistants", "one of responses, chat_completions"),
        ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
        ("DATABASE_URL", "mysql://localhost/x", "a URL that begins with postgres:// or postgresql://"),
        ("DATABASE_URL", "postgres://localhost:port/x?nonsense", "a PostgreSQL URL"),
        ("OPENAI_BASE_URL", "localhost:8080", "a URL that begins with http:// or https://"),
        ("PUBLIC_URL", "chat.example.com", "a URL that begins with http:// or https://"),
        ("AGENT_EXTRA_TOOLS", "my tools.TOOLS", "a dotted path such as package.module.NAME"),
        ("EMAIL_URL", "mail.example.com", "a URL that begins with smtp:// or smtps:// or console://"),
    ],
)
def test_a_value_that_cannot_be_used(tmp_path: Path, name: str, value: str, allowed: str) -> None:
    assert refused(tmp_path, name, value) == f"{name}={value!r} cannot be used: it must be {allowed}."


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    assert refused(tmp_path, "DATA_DIR", str(file)).startswith(f"DATA_DIR='{file}' cannot be used: it must be a folder")


def test_a_file_of_settings_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("# a comment\nexport SIGNUP='closed'\nAGENT_MODEL=from-the-file\n\nnonsense\n")
    shown = run(
        "-c",
        "from config import settings as s; print(s.SIGNUP, s.AGENT_MODEL)",
        DATA_DIR=str(tmp_path),
        ENV_FILE=str(file),
        AGENT_MODEL="from-the-environment",
    )
    assert shown.stdout == "closed from-the-environment\n"


def test_a_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first, second = (run("-c", READ.format("SECRET_KEY"), DATA_DIR=str(tmp_path)).stdout for _ in range(2))
    assert first == second
    assert len(first.strip()) >= 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_https_makes_cookies_secure(tmp_path: Path) -> None:
    shown = run(
        "-c",
        "from config import settings as s;"
        " print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.ALLOWED_HOSTS, s.CSRF_TRUSTED_ORIGINS)",
        DATA_DIR=str(tmp_path),
        PUBLIC_URL="https://chat.example.com/",
    )
    assert shown.stdout.startswith("True True ")
    assert "'chat.example.com'" in shown.stdout
    assert "['https://chat.example.com']" in shown.stdout
