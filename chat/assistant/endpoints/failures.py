"""Errors of a model's endpoint and what to do about them: sentences without the key or the text of an answer."""

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2
import openai

from chat.exceptions import ModelFailed


class BrokenStream(Exception):
    """A stream ended without its response; `code` is the provider's name of the reason, if it gave one."""

    def __init__(self, code: str | None = None) -> None:
        super().__init__(code or "no reason given")
        self.code = code


class NoApi(Exception):
    """The configured URL does not serve a model API."""


class NoStream(Exception):
    """The endpoint answers a request for a stream with neither a stream nor a reply."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of failure: its sentence, whether the same request may succeed later, or at another model."""

    detail: str
    retryable: bool = False
    unavailable: bool = True

    def failure(self, wait: float = 0.0) -> ModelFailed:
        """Return the failure; `wait` is the number of seconds that the endpoint asks to wait."""
        detail = f"{self.detail} Please try again {_spoken(wait)}." if wait else self.detail
        return ModelFailed(detail, retryable=self.retryable, unavailable=self.unavailable)


KEY = Kind(
    "The model's endpoint refuses the key. An administrator needs to check OPENAI_API_KEY, or the model's api_key_env."
)
ACCESS = Kind("The model's endpoint refuses access. An administrator needs to check what the key may be used for.")
NO_CREDIT = Kind("The credit at the model's endpoint is used up. An administrator needs to add some there.")
NO_MODEL = Kind("The model's endpoint does not know the model. An administrator needs to check AGENT_MODEL.")
NO_API = Kind(
    "There is no model's API at the configured address. An administrator needs to check OPENAI_BASE_URL, which usually "
    "ends with /v1, and AGENT_API."
)
NO_STREAM = Kind(
    "The model's endpoint does not stream its answers, which this assistant needs. An administrator needs to turn "
    "streaming on at its server, or to check OPENAI_BASE_URL and AGENT_API."
)
NO_TOOLS = Kind(
    "The model cannot call tools, which this assistant needs. An administrator needs to choose another one, or to turn "
    "tool calls on at its server."
)
BUSY = Kind("The model's endpoint is busy at the moment.", retryable=True)
UNREACHABLE = Kind("The model's endpoint cannot be reached at the moment.", retryable=True)
FAILING = Kind("The model's endpoint fails at the moment.", retryable=True)
BROKEN = Kind("The model's answer broke off.", retryable=True)
CONTEXT = Kind("This is too long for the model. Please send a shorter message, or begin a new chat.", unavailable=False)
CONTENT = Kind("The model's provider refuses to answer this. Please put it in other words.", unavailable=False)
TOO_LONG = Kind("The model's answer grew too long and was broken off; please ask for less at once.", unavailable=False)
REFUSED = Kind(
    "The model's endpoint did not accept the request. An administrator can test it with “manage.py check_model”.",
    unavailable=False,
)
UNKNOWN = Kind("The assistant could not finish this reply.", unavailable=False)

# The provider's code of a failure, in the answer's body or in an event of the stream.
CODES: dict[str, Kind] = {
    "insufficient_quota": NO_CREDIT,
    "billing_hard_limit_reached": NO_CREDIT,
    "billing_not_active": NO_CREDIT,
    "invalid_api_key": KEY,
    "model_not_found": NO_MODEL,
    "DeploymentNotFound": NO_MODEL,
    "context_length_exceeded": CONTEXT,
    "exceed_context_size_error": CONTEXT,
    "content_filter": CONTENT,
    "content_policy_violation": CONTENT,
    "bio_policy": CONTENT,
    "misalignment_policy_violation": CONTENT,
    "rate_limit_exceeded": BUSY,
    "invalid_prompt": REFUSED,
    "invalid_request_error": REFUSED,
}
# If the code is missing or ambiguous: words of the body, for some statuses.
WORDS: tuple[tuple[frozenset[int], re.Pattern[str], Kind], ...] = tuple(
    (frozenset(statuses), re.compile(pattern, re.IGNORECASE), kind)
    for statuses, pattern, kind in (
        ((400, 403), r"api key (?:not valid|not found|expired)|api_key_invalid", KEY),
        ((400, 403, 429), r"credit balance is too low|insufficient balance|insufficient credit", NO_CREDIT),
        (
            (400, 404, 422),
            r"not support (?:tool|function)|support tool use|tool choice requires|tools param requires",
            NO_TOOLS,
        ),
        ((400, 413, 422), r"maximum context length|context (?:size|window|length)|prompt is too long", CONTEXT),
        (
            (400, 403),
            r"content[ _](?:management )?polic|content[ _]filter|ResponsibleAIPolicy|PROHIBITED_CONTENT",
            CONTENT,
        ),
        ((400, 404), r"\bmodel\b.{0,200}(?:not found|not exist|unknown)|(?:invalid|unknown|no such) model", NO_MODEL),
        ((404,), r"\bmodels?\b|deployment", NO_MODEL),
    )
)
STATUSES: dict[int, Kind] = {
    **dict.fromkeys((301, 302, 303, 307, 308), NO_API),  # redirects are not followed
    401: KEY,
    402: NO_CREDIT,
    403: ACCESS,
    404: NO_API,
    405: NO_API,
    413: CONTEXT,
    429: BUSY,
}
AGAIN = frozenset({408, 409, 425, 429})
TOO_MANY_DIGITS = "Exceeds the limit ("  # how Python refuses a number of thousands of digits
READ = 20_000  # characters of an error that are read
DAY = 86_400.0  # seconds


def incomplete_reason(response: object) -> str:
    """Return the API's reason for ending a response early, if it gives one."""
    reason = getattr(getattr(response, "incomplete_details", None), "reason", None)
    return reason if isinstance(reason, str) else ""


def incomplete(reason: str) -> ModelFailed:
    """Return the failure of a response that ended early for this reason."""
    return CODES.get(reason, TOO_LONG).failure()


def explain(error: Exception) -> ModelFailed:
    """Return the failure for an error of a model's endpoint; its message states what to do."""
    if isinstance(error, ModelFailed):
        return error
    kind = _kind(error)
    return kind.failure(retry_after(error) if kind is BUSY else 0.0)


def _kind(error: Exception) -> Kind:
    if isinstance(error, openai.APIStatusError):
        return _status_kind(error)
    if isinstance(error, openai.APIConnectionError | TimeoutError):
        return UNREACHABLE
    if isinstance(error, BrokenStream | openai.APIError):
        names = (_word(error.code), _word(getattr(error, "type", None)))
        return next((CODES[name] for name in names if name in CODES), BROKEN)
    if isinstance(error, NoApi):
        return NO_API
    if isinstance(error, NoStream):
        return NO_STREAM
    # An event that is not JSON, or not text, counts as a broken stream.
    is_unreadable = isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError) or (
        isinstance(error, ValueError) and str(error).startswith(TOO_MANY_DIGITS)
    )
    return BROKEN if is_unreadable or type(error).__module__.startswith("http") else UNKNOWN


def _status_kind(error: openai.APIStatusError) -> Kind:
    status, code = error.status_code, _word(error.code)
    if status == 400 and str(error.code) == "429":
        status = 429
    if code in CODES and CODES[code] is not REFUSED and status < 500:
        return CODES[code]
    text = _text(error.body)
    for statuses, pattern, kind in WORDS:
        if status in statuses and pattern.search(text):
            return kind
    if status >= 500 or status in AGAIN:
        return STATUSES.get(status, FAILING)
    return STATUSES.get(status, REFUSED)


def reported_error(body: Mapping[str, object], request: httpx2.Request) -> openai.APIStatusError:
    """Return the error in a body with status 200, with the status that such an error should have."""
    error = body["error"]
    fields = error if isinstance(error, Mapping) else {}
    named = (str(value) for value in (fields.get("code"), fields.get("status"), body.get("code"), body.get("status")))
    status = next((int(name) for name in named if re.fullmatch("[45][0-9]{2}", name)), None)
    refused = _with_status(status or 400, error, request)
    if status or _status_kind(refused) is not REFUSED or _word(fields.get("type")).startswith("invalid"):
        return refused
    return _with_status(500, error, request)


def _with_status(status: int, error: object, request: httpx2.Request) -> openai.APIStatusError:
    response = httpx2.Response(status, request=request)
    return openai.APIStatusError(f"Error code: {status}", response=response, body=error)


def _word(code: object) -> str:
    """Return a code of an error; endpoints also send numbers and objects."""
    return code if isinstance(code, str) else ""


def _text(body: object) -> str:
    """Return the words of an error's body; none for an HTML page, which may contain anything."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)
    return "" if text.lstrip().startswith("<") else text[:READ]


def retry_after(error: Exception) -> float:
    """Return the number of seconds that an endpoint asks to wait; 0 if it does not, or if the value is implausible."""
    headers: Mapping[str, str] = error.response.headers if isinstance(error, openai.APIStatusError) else {}
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        return max(wait, 0.0) if math.isfinite(wait) else 0.0
    try:
        return max(parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


def _spoken(seconds: float) -> str:
    if seconds > DAY:
        return "tomorrow or later"
    for size, name in ((3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size or size == 1:
            count = max(math.ceil(seconds / size), 1)
            return f"in {count} {name}{'s' * (count > 1)}"
    raise AssertionError(seconds)
