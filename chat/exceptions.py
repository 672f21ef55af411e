"""Everything that can go wrong for a person or a program, once.

ThreadkeeperError
+-- BadInput
|   +-- BadJson
|   +-- UnknownParameters
|   +-- UnknownFields
|   +-- KeyReused
|   +-- EmptyText
|   +-- TooLong
|   +-- BadTask
|   +-- BadToken
|   +-- BadCursor
+-- NotSignedIn         the client is not authenticated
+-- Forbidden           the client lacks a permission
+-- NotFound
+-- Conflict
|   +-- AlreadyCompleted
|   +-- TooManyTasks
|   +-- TooManyConversations
|   +-- NotConfirmed
|   +-- NotUndoable
+-- RateLimited
|   +-- TooManyAtOnce   the person has as many requests of this kind under way as they may
+-- ServerBusy          the server does as much of this at once as it can
+-- TimedOut            it takes longer than it may
+-- TurnLost            the turn belongs to another process by now
|   +-- OutdatedAttempt a later attempt has written to the session
+-- MemoryUnavailable   the session store cannot be used at the moment
+-- Unavailable         the database is too slow, or away
|   +-- ServerStopping  the server takes nothing more
+-- InvalidSessionId
+-- BadExtraTools       what AGENT_EXTRA_TOOLS names is no list of tools
+-- ModelFailed         the model's endpoint did not answer as it should
"""

from collections.abc import Sequence


class ThreadkeeperError(Exception):
    """A failure with a code for programs and a sentence for people: the one of its class, unless another is given."""

    code = "error"
    default_detail = ""

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or self.default_detail
        super().__init__(self.detail)


class BadInput(ThreadkeeperError):
    """What was sent cannot be used."""

    code = "bad_input"


class BadJson(BadInput):
    """What was sent is no JSON, or no text at all."""

    code = "bad_request"


class UnknownParameters(BadInput):
    """A request has query parameters that its operation does not describe."""

    code = "invalid"

    def __init__(self, names: Sequence[str]) -> None:
        names = [name[:50] for name in names[:5]]
        super().__init__(f"There is no such parameter: {', '.join(names)}.")
        self.fields = dict.fromkeys(names, "There is no such parameter")


class UnknownFields(BadInput):
    """The body of a request has fields, and its operation takes none."""

    code = "invalid"

    def __init__(self, names: Sequence[str]) -> None:
        names = [name[:50] for name in names[:5]]
        listed = "; ".join(f"{name}: there is no such field" for name in names)
        super().__init__(f"This cannot be used: {listed}.")
        self.fields = dict.fromkeys(names, "There is no such field")


class KeyReused(BadInput):
    """An idempotency key was used for another request before."""

    code = "key_reused"
    default_detail = "This key was used for another request before. Use a new one for each request."


class EmptyText(BadInput):
    """A message without text."""

    code = "empty"
    default_detail = "There is nothing to send yet."


class TooLong(BadInput):
    """A message over the limit."""

    code = "too_long"


class BadTask(BadInput):
    """A task that cannot be stored like this."""

    code = "invalid"


class BadToken(BadInput):
    """A token that cannot be made like this."""

    code = "invalid"


class BadCursor(BadInput):
    """A place in a list that this server did not name."""

    code = "bad_cursor"
    default_detail = "“after” is not a place in this list: give the “after” of the page before, or none."


class NotSignedIn(ThreadkeeperError):
    """The client is not authenticated, or not any more."""

    code = "not_signed_in"


class Forbidden(ThreadkeeperError):
    """The user lacks a permission."""

    code = "forbidden"


class NotFound(ThreadkeeperError):
    """It does not exist, or belongs to another user: the error does not reveal which."""

    code = "not_found"


class Conflict(ThreadkeeperError):
    """The request conflicts with the current state."""

    code = "conflict"


class AlreadyCompleted(Conflict):
    """The task is done already."""

    code = "already_completed"


class NotUndoable(Conflict):
    """The change was undone before, is too old, or its tasks have changed since."""

    code = "not_undoable"


class TooManyTasks(Conflict):
    """The person's list is full."""

    code = "too_many_tasks"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The list holds {limit:,} tasks, and no more fit. Delete some to make room.")


class TooManyConversations(Conflict):
    """The person has as many conversations as they may."""

    code = "too_many_conversations"

    def __init__(self, limit: int) -> None:
        super().__init__(f"You have {limit:,} chats, and no more fit. Delete some for good to make room.")


class NotConfirmed(Conflict):
    """It was not confirmed, or something else was."""

    code = "not_confirmed"


class RateLimited(ThreadkeeperError):
    """Too much at once; `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooManyAtOnce(RateLimited):
    """The person has as many requests under way as they may."""


class ServerBusy(ThreadkeeperError):
    """The server does as much of this at once as it can; `retry_after` is in seconds."""

    code = "busy"

    def __init__(self, *, retry_after: int) -> None:
        super().__init__("The server is busy. Please try again in a moment.")
        self.retry_after = retry_after


class TimedOut(ThreadkeeperError):
    """It was ended because it takes too long."""

    code = "timed_out"


class TurnLost(ThreadkeeperError):
    """The turn was taken over or ended by another process."""

    code = "turn_lost"


class MemoryUnavailable(ThreadkeeperError):
    """The session store is locked, full, unreadable or missing its folder."""

    code = "context_unavailable"


class Unavailable(ThreadkeeperError):
    """The database is too slow or unavailable."""

    code = "unavailable"
    default_detail = "The service is temporarily unavailable. Please try again."


class ServerStopping(Unavailable):
    """The server is stopping; another process takes over."""


class OutdatedAttempt(TurnLost):
    """A write of an attempt that was superseded."""

    code = "outdated_attempt"


class InvalidSessionId(ThreadkeeperError):
    """An id that is not of the form user_{uuid}_conv_{uuid}."""

    code = "invalid_session_id"


class BadExtraTools(ThreadkeeperError):
    """What a setting names cannot be used as tools."""

    code = "bad_extra_tools"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"AGENT_EXTRA_TOOLS={path!r} cannot be used: {reason}. It must be the dotted path of a list of tools, or of"
            " something that has `tools` and maybe `instructions`."
        )


class ModelFailed(ThreadkeeperError):
    """The model's endpoint did not answer as it should.

    `retryable`: the same request may succeed soon. `unavailable`: another model may answer it. `cause` is a
    status or the type of an error.
    """

    code = "model_error"

    def __init__(self, detail: str, *, retryable: bool, unavailable: bool = False) -> None:
        super().__init__(detail)
        self.retryable = retryable
        self.unavailable = unavailable
        self.cause = self.code
