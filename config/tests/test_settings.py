"""Settings are validated: an invalid value stops the start with a message that states the allowed values."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from chat.mcp.application import PATHS
from config import env, url_settings
from config.exceptions import CannotStart
from config.tests.support import run
from sessions_admin.health import PROBES

READ = "from config import settings; print(settings.{})"


def startup_error(tmp_path: Path, name: str, value: str) -> str:
    result = run("-m", "config.settings", **{"DATA_DIR": str(tmp_path), name: value})
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    return result.stderr.strip()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("AGENT_SESSION_MAX_MESSAGES", "many", "a whole number from 4 to 2147483647"),
        ("AGENT_SESSION_MAX_MESSAGES", "3", "a whole number from 4 to 2147483647"),
        ("AGENT_SESSION_RETENTION_DAYS", "-1", "a whole number from 1 to 36500"),
        ("AGENT_SESSION_CLEANUP_HOUR", "24", "a whole number from 0 to 23"),
        ("AGENT_SESSION_RETENTION_DAYS", "7.5", "a whole number from 1 to 36500"),
        ("DEBUG", "maybe", "one of on, off, true, false, yes, no, 1, 0"),
        ("AGENT_GUARDRAIL", "2", "one of on, off, true, false, yes, no, 1, 0"),
        ("AGENT_OMIT", "store,tools.0", "a comma-separated list of names such as store or tools.strict"),
        ("SIGNUP", "invite", "one of open, closed"),
        ("AGENT_API", "assistants", "one of responses, chat_completions"),
        ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
        ("OPENAI_BASE_URL", "localhost:8080", "a URL that begins with http:// or https://"),
        ("PUBLIC_URL", "chat.example.com", "a URL that begins with http:// or https://"),
        ("AGENT_EXTRA_TOOLS", "my tools.TOOLS", "a dotted path such as package.module.NAME"),
    ],
)
def test_invalid_value_is_reported_with_allowed_values(tmp_path: Path, name: str, value: str, allowed: str) -> None:
    assert startup_error(tmp_path, name, value) == f"{name}={value!r} cannot be used: it must be {allowed}."


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("store,model", "a request needs model"),
        ("messages", "a request needs messages"),
        ("foo.bar", "a name with a dot must begin with input, messages or tools"),
    ],
)
def test_required_request_parameter_cannot_be_omitted(monkeypatch: pytest.MonkeyPatch, value: str, reason: str) -> None:
    monkeypatch.setenv("AGENT_OMIT", value)
    with pytest.raises(env.BadSetting) as raised:
        env.items("AGENT_OMIT", env.parameter)
    assert str(raised.value) == f"AGENT_OMIT={value!r} cannot be used: {reason}."


HIDDEN = "s3cret"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://me:s3cret@localhost/x"),
        ("DATABASE_URL", "postgres://me:s3cret%@localhost/x"),
        ("DATABASE_URL", "postgres://me:100%s3cret@localhost/x"),
        ("DATABASE_URL", "postgres://me:s3cret/more@localhost/x"),
        ("DATABASE_URL", "postgres://me:5432/s3cret@localhost/x"),
        ("DATABASE_URL", "postgres://me:s3cret"),
        ("DATABASE_URL", "postgres://localhost/x?pasword=s3cret"),
        ("DATABASE_URL", "postgres://[s3cret"),
        ("DATABASE_URL", "host=localhost password=s3cret"),
        ("EMAIL_URL", "me:s3cret@mail.example.com"),
        ("EMAIL_URL", "smtp://me:s3cret%@mail.example.com"),
        ("EMAIL_URL", "smtp://me:s3cret%FF@mail.example.com"),
        ("EMAIL_URL", "smtp://me:s3cret/more@mail.example.com"),
        ("EMAIL_URL", "smtp://me:s3cret"),
        ("EMAIL_URL", "smtp://me:s3cret@[mail"),
        ("EMAIL_URL", "smtp://me:s3cret@"),
        ("EMAIL_URL", "smtp://me:s3cret@mail.example.com/path"),
        ("EMAIL_URL", "smtp://me:s3cret@mail.example.com?tls=on"),
        ("EMAIL_URL", "smtp://me:s3cret@mail.example.com?timeout=0"),
        ("EMAIL_URL", "smtps://me:s3cret@mail.example.com?starttls=on"),
        ("REDIS_URL", "redis://me:s3cret?@cache"),
        ("REDIS_URL", "rediss://me:s3cret@cache?ssl_cert_reqs=s3cret"),
        ("REDIS_URL", "rediss://cache?password=s3cret"),
        ("AGENT_SESSION_STORE", "s3cret"),
        ("AGENT_SESSION_STORE", "redis://me:s3cret@db"),
        ("AGENT_SESSION_STORE", "postgres://me:s3cret"),
        ("OPENAI_BASE_URL", "ftp://me:s3cret@models.example.com"),
        ("OPENAI_BASE_URL", "https://me:s3cret@models.example.com:port"),
        ("OPENAI_BASE_URL", "models.example.com?key=s3cret"),
        ("PUBLIC_URL", "https://me:s3cret@chat.example.com"),
        ("OPENAI_API_KEY", "sk-s3cret\nsk-2"),
        ("OPENAI_API_KEY", "sk-s3cret…"),
    ],
)
def test_error_for_invalid_value_contains_no_secret(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    parse: dict[str, Callable[[], object]] = {
        "DATABASE_URL": lambda: env.parsed(name, None, url_settings.database, secret=True),
        "EMAIL_URL": lambda: env.parsed(name, None, url_settings.mail, secret=True),
        "REDIS_URL": lambda: env.parsed(name, "", url_settings.redis, secret=True),
        "AGENT_SESSION_STORE": lambda: env.parsed(name, "", url_settings.session_store, secret=True),
        "OPENAI_BASE_URL": lambda: env.url(name, "http", "https"),
        "PUBLIC_URL": lambda: env.parsed(name, "", url_settings.site),
        "OPENAI_API_KEY": lambda: env.parsed(name, "", env.api_key, secret=True),
    }
    with pytest.raises(env.BadSetting) as raised:
        parse[name]()
    message = str(raised.value)
    assert message.startswith(f"{name} cannot be used: ") and message.endswith(".")
    assert HIDDEN not in message and "\n" not in message


@pytest.mark.parametrize("name", ["DATABASE_URL", "EMAIL_URL", "OPENAI_API_KEY"])
def test_start_prints_only_the_error_message(tmp_path: Path, name: str) -> None:
    message = startup_error(tmp_path, name, "smtp://me:s3cret%@localhost\n…")
    assert message.startswith(f"{name} cannot be used: ") and message.count("\n") == 0
    assert HIDDEN not in message


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://chat.example.com", "https://chat.example.com"),
        ("https://chat.example.com/", "https://chat.example.com"),
        ("HTTPS://Chat.Example.com:443", "https://chat.example.com"),
        ("http://chat.example.com:80", "http://chat.example.com"),
        ("http://chat.example.com:443", "http://chat.example.com:443"),
        ("https://chat.example.com.:8443/", "https://chat.example.com:8443"),
        ("https://Bücher.example", "https://xn--bcher-kva.example"),
        ("https://bücher。example", "https://xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("http://[2001:DB8:0:0::1]:8000", "http://[2001:db8::1]:8000"),
        ("http://[::ffff:192.0.2.1]", "http://[::ffff:c000:201]"),
        ("http://192.0.2.1:8000", "http://192.0.2.1:8000"),
        ("https://Example.com:443/Team/chat-2/", "https://example.com/Team/chat-2"),
    ],
)
def test_public_url_is_normalized(value: str, origin: str) -> None:
    assert url_settings.site(value) == origin


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("https://example.com//", "its path may have letters, digits"),
        ("https://example.com/a/../b", "its path may have letters, digits"),
        ("https://example.com/a b", "it must not contain spaces or control characters"),
        ("https://example.com/caf%C3%A9", "its path may have letters, digits"),
        ("https://example.com/api/chat", "its path must not begin with /api, as pages of the site do"),
        ("https://example.com?", "it must not contain a query or fragment"),
        ("https://example.com/#top", "it must not contain a query or fragment"),
        ("https://me@example.com", "it must not contain a user name or password"),
        ("https://exa mple.com", "it must not contain spaces or control characters"),
        ("https://example.com\t", "it must not contain spaces or control characters"),
        ("https://example.com:0", "its host or port cannot be read"),
        ("https://example.com:99999", "its host or port cannot be read"),
        ("https://[::1", "its host or port cannot be read"),
        ("https://", "its host is neither a name nor an IP address"),
        ("https://:8000", "its host is neither a name nor an IP address"),
        ("https://exa_mple.com", "its host is neither a name nor an IP address"),
        ("https://*.example.com", "its host is neither a name nor an IP address"),
        ("https://-a.example", "its host is neither a name nor an IP address"),
        ("https://a..example", "its host is neither a name nor an IP address"),
        ("https://192.0.2.256", "its host is neither a name nor an IP address"),
        ("https://[fe80::1%25eth0]", "its host is neither a name nor an IP address"),
        ("https://☃☃☃︎.example", "its host is neither a name nor an IP address"),
        ("https://example.com\\@evil.example", "it must not contain a user name or password"),
        ("ftp://example.com", "it must be a URL that begins with http:// or https://"),
    ],
)
def test_invalid_public_url_is_refused(value: str, reason: str) -> None:
    with pytest.raises(env.InvalidValue) as raised:
        url_settings.site(value)
    assert str(raised.value).startswith(reason)


@pytest.mark.parametrize(
    "value",
    [
        "redis://cache",
        "redis://me:p%40ss@cache:6380/2",
        "redis://cache?db=2",
        "unix:///run/redis.sock?db=2",
        "rediss://cache/2?ssl_ca_certs=/etc/ca.pem&ssl_certfile=/etc/me.pem&ssl_check_hostname=no",
    ],
)
def test_valid_redis_url_is_accepted(value: str) -> None:
    assert url_settings.redis(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "redis://cache?decode_responses=true",
        "redis://cache?protocol=3",
        "redis://cache?legacy_responses=false",
        "redis://cache?socket_timeout=60",
        "redis://cache?client_name=",
        "redis://cache?ssl_ca_certs=/etc/ca.pem",
        "rediss://cache?ssl_ca_cert=/etc/ca.pem",
        "rediss://cache?ssl_cert_reqs=perhaps",
    ],
)
def test_unsupported_redis_option_is_refused(value: str) -> None:
    with pytest.raises(env.InvalidValue, match=r"its options may be db and, with rediss://, those of TLS"):
        url_settings.redis(value)


def test_session_store_is_file_database_or_postgres_url() -> None:
    for value in ("file", "database", "postgres://me:s3cret@db/sessions"):
        assert url_settings.session_store(value) == value
    with pytest.raises(env.InvalidValue, match="must be file, database, or the URL of a PostgreSQL"):
        url_settings.session_store("redis")


def test_reserved_paths_are_the_first_segments_of_all_urls() -> None:
    def first_segments(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[str]:
        for each in patterns:
            route = str(each.pattern).lstrip("^")
            nested = getattr(each, "url_patterns", []) if not route else []
            yield from first_segments(nested) if nested else [route.partition("/")[0]]

    served = {*first_segments(get_resolver().url_patterns), *(path.strip("/") for path in (*PATHS, *PROBES))}
    assert (served | {"static", "ws"}) - {""} == url_settings.OWN_PATHS


def test_mail_url_is_parsed() -> None:
    mail, server = url_settings.mail, url_settings.MailServer
    assert mail("console://") == server()
    assert mail("smtp://mail.example.com") == server(backend="smtp", host="mail.example.com", port=587)
    assert mail("SMTP://me%40example.com:p%25%2Fw@mail.example.com:2525") == server(
        backend="smtp", host="mail.example.com", port=2525, user="me@example.com", password="p%/w", use_tls=True
    )
    assert mail("smtps://me@mail.example.com?timeout=3") == server(
        backend="smtp", host="mail.example.com", port=465, user="me", use_ssl=True, timeout=3
    )
    assert mail("smtp://me@mail.example.com?starttls=off").use_tls is False
    assert mail("smtp://mail.example.com?starttls=on").use_tls is True


def test_data_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    assert startup_error(tmp_path, "DATA_DIR", str(file)).startswith(
        f"DATA_DIR='{file}' cannot be used: it must be a folder"
    )


# The file that ENV_FILE names.


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment into which the file is loaded."""
    environment = {"SET": "in the environment"}
    monkeypatch.setattr("os.environ", environment)
    return environment


def test_env_file_is_loaded(tmp_path: Path, environment: dict[str, str]) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(
        "\ufeffFIRST=1\r\n"
        "# a comment\r\n"
        "export EXPORTED='a # b'\r\n"
        'DOUBLE="a \'b\' \\"c\\""  # a comment\n'
        "PLAIN = a#b $HOME ${HOME} p%25 # a comment\n"
        "EMPTY=\n"
        "nonsense\n\n"
        "SET=in the file\n"
        "UNICODE=Bücher".encode()
    )
    env.load_dotenv(file)
    environment.pop("PYTEST_CURRENT_TEST")
    assert environment == {
        "FIRST": "1",
        "EXPORTED": "a # b",
        "DOUBLE": "a 'b' \"c\"",
        "PLAIN": "a#b $HOME ${HOME} p%25",
        "EMPTY": "",
        "SET": "in the environment",
        "UNICODE": "Bücher",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"A=1\n\n\nB='s3cret\n", "Line 4 of {} cannot be read"),
        (b'A="s3cret" more', "Line 1 of {} cannot be read"),
        (b"A=s3cret\0", "Line 1 of {} cannot be read"),
        ("A=s3crét".encode("latin1"), "{} cannot be read: it must be a text file in UTF-8."),
        ("A=s3cret".encode("utf-16"), "{} cannot be read: it must be a text file in UTF-8."),
    ],
)
def test_invalid_env_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(content)
    with pytest.raises(CannotStart) as raised:
        env.load_dotenv(file)
    assert str(raised.value).startswith(reason.format(file))
    assert "s3c" not in str(raised.value)


def test_environment_overrides_the_env_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("SIGNUP=closed\nAGENT_MODEL=from-the-file\n")
    result = run(
        "-c",
        "from config import settings as s; print(s.SIGNUP, s.AGENT_MODEL)",
        DATA_DIR=str(tmp_path),
        ENV_FILE=str(file),
        AGENT_MODEL="from-the-environment",
    )
    assert result.stdout == "closed from-the-environment\n"


def test_secret_key_is_created_once_and_private(tmp_path: Path) -> None:
    first, second = (run("-c", READ.format("SECRET_KEY"), DATA_DIR=str(tmp_path)).stdout for _ in range(2))
    assert first == second
    assert len(first.strip()) >= 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("value", ["/backups", "/backups/", "s3://bucket/folder", "s3://bucket/folder/"])
def test_folder_of_backups_ends_with_a_slash(tmp_path: Path, value: str) -> None:
    """Without it, a missing folder would be the name of a file."""
    result = run("-c", READ.format("BACKUP_TO"), DATA_DIR=str(tmp_path), BACKUP_TO=value)
    assert result.stdout.strip() == f"{value.rstrip('/')}/"


def test_public_url_is_added_to_allowed_hosts_and_trusted_origins(tmp_path: Path) -> None:
    result = run(
        "-c",
        "from config import settings as s; print(s.PUBLIC_URL, s.ALLOWED_HOSTS, s.CSRF_TRUSTED_ORIGINS)",
        DATA_DIR=str(tmp_path),
        PUBLIC_URL="https://[2001:DB8::1]:8443/",
        ALLOWED_HOSTS="Chat.example.com, .bücher.example",
        CSRF_TRUSTED_ORIGINS="https://Chat.example.com:443, https://*.Bücher.example",
    )
    assert result.stdout.split(maxsplit=1) == [
        "https://[2001:db8::1]:8443",
        "['chat.example.com', '.xn--bcher-kva.example', '[2001:db8::1]'] "
        "['https://chat.example.com', 'https://*.xn--bcher-kva.example', 'https://[2001:db8::1]:8443']\n",
    ]
