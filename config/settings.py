"""Every setting of the project, each read from the environment once.

A comment that begins with `#:` describes a variable, from which docs/generate.py writes docs/reference/settings.md
and .env.example.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF

from config import env, url_settings
from config.models_file import ModelsFile, read_models
from config.runtime.database import connection_settings
from config.runtime.embedded_postgres import url_of
from config.secret_key import load_or_create_secret_key

# Allows generic classes such as ModelAdmin[Task].
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
#: The file that is read in addition to the environment.
env.load_dotenv(BASE_DIR / env.text("ENV_FILE", ".env"))

VERSION = "0.14.0"
MOST_DAYS = 36_500  # a date so long ago is one still
AUDIT_DAYS_AT_LEAST = 30  # younger records the database keeps in any case
#: Show errors with their code and values to everybody. Never in production.
DEBUG = env.flag("DEBUG", default=False)

# Where everything is written.
#: The folder for everything the program writes, the embedded PostgreSQL included.
DATA_DIR = (BASE_DIR / env.text("DATA_DIR", "data")).resolve()
try:
    DATA_DIR.mkdir(parents=True, exist_ok=True)
    #: Signs cookies and links. By default made once and kept in `DATA_DIR/secret_key`.
    SECRET_KEY = env.text("SECRET_KEY") or load_or_create_secret_key(DATA_DIR)
except OSError as error:
    raise env.BadSetting(
        "DATA_DIR", str(DATA_DIR), f"it must be a folder that can be written ({error.strerror})"
    ) from error

# Who may reach it, and how.
#: The URL by which people reach the server, with the path if the host has other sites; links in mails lead there. With
#: https: secure cookies, HSTS, and a redirect where the proxy reports http. Such as `https://chat.example.com`.
PUBLIC_URL = env.parsed("PUBLIC_URL", "", url_settings.site)
_public = urlsplit(PUBLIC_URL)
ROOT_PATH = _public.path
FORCE_SCRIPT_NAME = ROOT_PATH or None
# The host of PUBLIC_URL is always allowed, and its origin trusted. An IPv6 address is in brackets here.
_public_hosts = [_public.netloc.removesuffix(f":{_public.port}")] if PUBLIC_URL else []
#: Comma-separated; the host of `PUBLIC_URL` is always allowed. By default `localhost`.
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", url_settings.allowed_host) or ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS += _public_hosts
#: Comma-separated, with scheme; `PUBLIC_URL` is always trusted.
CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS", url_settings.trusted_origin)
CSRF_TRUSTED_ORIGINS += [PUBLIC_URL.removesuffix(ROOT_PATH)] if PUBLIC_URL else []
#: How many proxies append to `X-Forwarded-For`, which is read from the right. 0 ignores it and
#: `X-Forwarded-Proto`. By default 1 with `PUBLIC_URL`, else 0.
TRUSTED_PROXIES = env.whole("TRUSTED_PROXIES", 1 if PUBLIC_URL else 0, most=16)
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"{ROOT_PATH}/"
# Beside another Django site of the host: of two cookies with one name, Django reads that of the shorter path.
COOKIE_SUFFIX = ROOT_PATH.replace("/", "_")
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"sessionid{COOKIE_SUFFIX}", f"csrftoken{COOKIE_SUFFIX}"
if ROOT_PATH:
    # The cookie of messages is one for all paths.
    MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
if _public.scheme == "https":
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    # Only if a trusted proxy reports that a client used http (config.runtime.proxy_headers).
    SECURE_SSL_REDIRECT = True
    SECURE_SSL_HOST = _public.netloc

INSTALLED_APPS = [
    "daphne",  # before staticfiles, whose runserver it replaces
    "sessions_admin.apps.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "config",  # before django_q, whose worker command it replaces
    "django_q",
    "axes",
    "csp",
    "ninja",  # for the scripts of the API's documentation
    "chat",
    "sessions_admin",
    #: Comma-separated Django apps of your own. Such as `docs.examples.habits`.
    *(EXTRA_APPS := env.items("EXTRA_APPS", env.app)),
]
MIDDLEWARE = [
    "chat.api.middleware.api_replies",  # before all others, to format their errors as JSON
    "config.nul_bytes.RefuseNulMiddleware",
    "django.middleware.security.SecurityMiddleware",
    # Next to WhiteNoise, which is synchronous too: no further switch to a thread.
    "config.page_compression.compress_pages",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "chat.web.refusals.Refusals",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SILENCED_SYSTEM_CHECKS = [
    # HSTS for subdomains and its preload list affect other sites of the domain: its owner sets them, in the proxy.
    "security.W005",
    "security.W021",
    # axes' middleware and backend; the limits are the project's own.
    "axes.W002",
    "axes.W003",
]

# Without DATABASE_URL, config.runtime.embedded_postgres starts a server and sets the variable.
#: A PostgreSQL of your own; poolers in transaction mode work. By default an embedded one runs in `DATA_DIR/postgres`.
#: Such as `postgres://user:password@host:5432/threadkeeper`.
DATABASE_URL = env.text("DATABASE_URL")
EMBEDDED_POSTGRES_DIR = DATA_DIR / "postgres"
# More than 0 only in the server process: a pool that meets a forking worker hangs it.
#: Connections for turns, sockets and streams of a server process, where it is 16; pages and the API have half as many
#: of their own, and 8 are spare. Never for the worker.
DATABASE_POOL_SIZE = env.whole("DATABASE_POOL_SIZE", 0, most=1000)
# Turns, sockets and streams have their own threads, so that slow pages do not delay them.
DATABASE_THREADS = DATABASE_POOL_SIZE or 8
REQUEST_THREADS = max(4, DATABASE_THREADS // 2)
OTHER_THREADS = 8

# One connection per thread: no thread waits for another to return its own.
POOLED = DATABASE_THREADS + REQUEST_THREADS + OTHER_THREADS if DATABASE_POOL_SIZE else 0
_embedded = url_settings.database(url_of(EMBEDDED_POSTGRES_DIR))
DATABASES = {
    "default": connection_settings(env.parsed("DATABASE_URL", _embedded, url_settings.database, secret=True), POOLED)
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# A cache that all processes share: django-q2 keeps its cluster's status in it.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "django_cache"}}

# Users.
AUTH_USER_MODEL = "chat.User"
# Sessions name the backend that they were created with; the second one was the first of earlier versions.
AUTHENTICATION_BACKENDS = ["chat.accounts.backend.PasswordBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["chat.accounts.hashing.PooledPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
#: Whether people may create accounts.
SIGNUP = env.choice("SIGNUP", "open", "open", "closed")
# Wrong passwords in a row, from one device or address.
AXES_FAILURE_LIMIT = 10
#: Sign-ins, sign-ups and resets in a minute, by address. Without `REDIS_URL` each server process counts for itself.
SIGN_INS_PER_MINUTE = env.whole("SIGN_INS_PER_MINUTE", 120, least=1)
#: Mails that one address may ask for in an hour, to any mailbox.
MAILS_PER_HOUR = env.whole("MAILS_PER_HOUR", 30, least=1)
# django-axes keeps the log of sign-ins; the limits are the project's own (chat.accounts.backend).
AXES_HANDLER = "chat.accounts.sign_in_log.SignInLog"
AXES_CLIENT_IP_CALLABLE = "chat.infra.client_address.client_address"
AXES_LOCK_OUT_AT_FAILURE = False
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_VERBOSE = False

#: The mail server: `smtp://user:password@host:587` (STARTTLS if there is a user), `smtps://…` or `console://`; options
#: `?starttls=on`, `?starttls=off`, `?timeout=10` (seconds). Without it, people are told to ask an administrator.
EMAIL_URL = env.text("EMAIL_URL")
_mail = env.parsed("EMAIL_URL", url_settings.MailServer(), url_settings.mail, secret=True)
EMAIL_BACKEND = f"django.core.mail.backends.{_mail.backend}.EmailBackend"
EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.user, _mail.password
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.use_tls, _mail.use_ssl
EMAIL_TIMEOUT = _mail.timeout
#: The sender of mails. By default the mail user, if it is an address.
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", _mail.user if "@" in _mail.user else "threadkeeper@localhost")

# The assistant's memory.
#: Where the assistant's memory is kept: in a `file`, which the processes of one machine share; in the `database` of the
#: record; or in another PostgreSQL, by its URL. `migrate_sessions` moves it. Such as `postgres://user:password@host:5432/sessions`.
AGENT_SESSION_STORE = env.parsed("AGENT_SESSION_STORE", "file", url_settings.session_store, secret=True)
if "://" in AGENT_SESSION_STORE:
    DATABASES["sessions"] = connection_settings(url_settings.database(AGENT_SESSION_STORE), POOLED)
#: The session file. By default `DATA_DIR/agent_sessions.db`.
AGENT_SESSION_DB_PATH = (BASE_DIR / env.text("AGENT_SESSION_DB_PATH", str(DATA_DIR / "agent_sessions.db"))).resolve()
#: Items that a session keeps between turns.
AGENT_SESSION_MAX_MESSAGES = env.whole("AGENT_SESSION_MAX_MESSAGES", 200, least=4)
#: Days without a message after which a session expires.
AGENT_SESSION_RETENTION_DAYS = env.whole("AGENT_SESSION_RETENTION_DAYS", 7, least=1, most=MOST_DAYS)
#: Days without a message after which a conversation goes to the trash; 30 days later it is deleted.
CONVERSATION_RETENTION_DAYS = env.whole("CONVERSATION_RETENTION_DAYS", 30, least=1, most=MOST_DAYS)
#: Days for which it is known which sessions and conversations a clean-up removed.
CLEANUP_DETAILS_DAYS = env.whole("CLEANUP_DETAILS_DAYS", 90, least=1, most=MOST_DAYS)
#: Days for which a clean-up run is kept, with its figures and its log.
CLEANUP_RUNS_DAYS = env.whole("CLEANUP_RUNS_DAYS", 730, least=1, most=MOST_DAYS)
#: Days after which audit records are removed. By default they are kept forever.
AUDIT_DAYS = env.optional_whole("AUDIT_DAYS", least=AUDIT_DAYS_AT_LEAST, most=MOST_DAYS)
#: The hour of the daily clean-up, in UTC.
AGENT_SESSION_CLEANUP_HOUR = env.whole("AGENT_SESSION_CLEANUP_HOUR", 2, most=23)

# Backups.
#: Where a backup is made each day, an hour before the clean-up: a folder, or `s3://bucket/folder/` of S3-compatible
#: storage, whose address and keys are boto3's own variables (`AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, …). By default
#: there is none.
BACKUP_TO = env.parsed("BACKUP_TO", "", lambda folder: f"{folder.rstrip('/')}/")
#: Backups that stay there.
BACKUPS_KEPT = env.whole("BACKUPS_KEPT", 14, least=1)

# The model.
#: The key of the model's endpoint; without it and `OPENAI_BASE_URL` the offline model answers. Such as `sk-…`.
OPENAI_API_KEY = env.parsed("OPENAI_API_KEY", "", env.api_key, secret=True)
#: The endpoint, with its `/v1`. By default OpenAI's own. Such as `http://127.0.0.1:11434/v1`.
OPENAI_BASE_URL = env.url("OPENAI_BASE_URL", "http", "https")
#: The model's name at the endpoint.
AGENT_MODEL = env.text("AGENT_MODEL", "gpt-5-mini")
#: The API that the endpoint speaks.
AGENT_API = env.choice("AGENT_API", "responses", "responses", "chat_completions")
#: Seconds to connect, and between two pieces of a stream: reasoning models are silent for a while.
AGENT_MODEL_TIMEOUT = env.whole("AGENT_MODEL_TIMEOUT", 60, least=1)
#: Whether a model gets its reasoning back with later requests: where its endpoint requires it, always, or never.
AGENT_REASONING = env.choice("AGENT_REASONING", "auto", "auto", "return", "omit")
#: Tokens that a request to the model may hold, with the answer; older turns are left out of it.
AGENT_CONTEXT_TOKENS = env.whole("AGENT_CONTEXT_TOKENS", 32_000, least=1_000)
#: Comma-separated parameters that the endpoint refuses; others are learned from its refusals. Such as
#: `store,tools.strict`.
AGENT_OMIT = env.items("AGENT_OMIT", env.parameter)
#: A TOML file of several models; the settings of the one model above then have no effect. Such as `models.toml`.
_models = (
    read_models(BASE_DIR / env.text("AGENT_MODELS"), context_tokens=AGENT_CONTEXT_TOKENS)
    if env.text("AGENT_MODELS")
    else ModelsFile()
)
AGENT_MODELS, AGENT_CURRENCY = _models.models, _models.currency
#: Refuse messages that have nothing to do with tasks.
AGENT_GUARDRAIL = env.flag("AGENT_GUARDRAIL", default=True)
# Imported after the models: config.checks reports their errors.
#: Dotted path to tools of your own. Such as `docs.examples.timesheet`.
AGENT_EXTRA_TOOLS = env.dotted("AGENT_EXTRA_TOOLS")
# The SDK reads this variable itself; it must never send traces.
os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")

# Limits: a user's, then a server's.
#: Messages that a person may send in a minute.
MESSAGES_PER_MINUTE = env.whole("MESSAGES_PER_MINUTE", 30, least=1)
#: Open websockets of a person, and as many streams.
SOCKETS_PER_USER = env.whole("SOCKETS_PER_USER", 20, least=1)
#: Messages that wait in one conversation.
QUEUE_PER_CONVERSATION = env.whole("QUEUE_PER_CONVERSATION", 20, least=1)
#: Tokens of a person, in and out, within 24 hours; a turn that runs when it is reached continues. By default no limit.
TOKENS_PER_DAY = env.optional_whole("TOKENS_PER_DAY", least=1)
#: Tasks on a person's list.
TASKS_PER_USER = env.whole("TASKS_PER_USER", 10_000, least=1)
#: Chats of a person, the archive and the trash included.
CONVERSATIONS_PER_USER = env.whole("CONVERSATIONS_PER_USER", 50_000, least=1)
#: Requests of a person, for pages and the API, that a server process answers at once. 100 more wait; beyond that they
#: get 429. By default half of the threads for them, 8 at most.
REQUESTS_PER_USER = env.whole("REQUESTS_PER_USER", min(8, REQUEST_THREADS // 2), least=1)
#: Turns that a server process runs at once; others wait in the queue.
TURNS_AT_ONCE = env.whole("TURNS_AT_ONCE", 200, least=1)

# Programs.
#: Requests of a person's programs in a minute. Without `REDIS_URL` each server process counts for itself.
API_REQUESTS_PER_MINUTE = env.whole("API_REQUESTS_PER_MINUTE", 600, least=1)
#: Requests without a sign-in in a minute, by address. Without `REDIS_URL` each server process counts for itself.
API_ANONYMOUS_PER_MINUTE = env.whole("API_ANONYMOUS_PER_MINUTE", 120, least=1)
#: Days for which a token is valid that a program gets by signing in.
API_SIGN_IN_DAYS = env.whole("API_SIGN_IN_DAYS", 30, least=1, most=3650)

# The worker. At least once: `retry` is longer than `timeout`, and tasks may run again.
Q_CLUSTER = {
    "name": "threadkeeper",
    "orm": "default",
    "workers": 1,
    "timeout": 900,
    "retry": 1200,
    "max_attempts": 3,
    "catch_up": False,
    "poll": 1,
    # The worker calls it itself, and reports that it did (sessions_admin/cluster.py).
    "scheduler": False,
    "save_limit": 500,
    "label": "Worker",
    "log_level": "WARNING",
}

# Several server processes.
#: The Redis through which several server processes share what need not last; without it there is one. Such as
#: `redis://:password@host:6379/0`, or `rediss://…` with TLS. Its options may be `db` and those of
#: TLS (`?ssl_ca_certs=/path/to/ca.pem`); others are refused.
REDIS_URL = env.parsed("REDIS_URL", "", url_settings.redis, secret=True)
# Within a process; chat.infra.bus adds the others.
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

STATIC_URL = f"{ROOT_PATH}/static/"  # absolute: it is the same in every thread
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static_files.CollectedFilesStorage"},
}
# Files that are not collected, by `up` or `collectstatic`, are served from the apps' folders.
WHITENOISE_USE_FINDERS = True
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_ALLOW_ALL_ORIGINS = False
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ["map", "png", "jpg", "jpeg", "gif", "webp", "woff", "woff2", "gz", "br"]
WHITENOISE_AUTOREFRESH = DEBUG

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

#: The bearer token with which Prometheus reads `/metrics`, at least 16 characters; without it there are no metrics.
METRICS_TOKEN = env.parsed("METRICS_TOKEN", "", env.metrics_token, secret=True)
# Where the processes of `up` share their values.
METRICS_DIR = DATA_DIR / "metrics"

#: The OpenTelemetry collector that traces of turns and clean-ups are sent to, by OTLP over HTTP; without it there are
#: none. They hold no text of people or models. Such as `http://127.0.0.1:4318`.
OTEL_EXPORTER_OTLP_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", "http", "https")

#: The least severe messages that are logged.
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR")
#: `json` writes each message of the log as an object, with the ids of its request, socket, turn and trace.
LOG_FORMAT = env.choice("LOG_FORMAT", "text", "text", "json")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "config.logging.SafeFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"()": "config.logging.JsonFormatter"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "json" if LOG_FORMAT == "json" else "line"},
    },
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        # Django configures its own handlers for these.
        "django": {"handlers": [], "level": "WARNING"},
        "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
        # Its warnings name the addresses of disconnected clients.
        "twisted": {"level": "ERROR"},
        # It logs each batch that a collector does not accept; chat.infra.otlp logs one a minute.
        "opentelemetry": {"level": "CRITICAL"},
        # Each failed attempt is in its table.
        "axes": {"level": "ERROR"},
        **{name: {"level": LOG_LEVEL} for name in ("chat", "config", "sessions_admin")},
    },
}
