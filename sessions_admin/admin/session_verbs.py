"""The staff's verbs for sessions, in the list and on a session's page: each is confirmed first, with its effect."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_date

from chat.exceptions import BadInput, ThreadkeeperError
from chat.models import AgentSession
from sessions_admin.admin.base import actor_of
from sessions_admin.admin.lists import LongListAdmin
from sessions_admin.admin.streams import attachment
from sessions_admin.models import Action
from sessions_admin.permissions import MANAGE, READ
from sessions_admin.reports import counted
from sessions_admin.sessions import lifecycle
from sessions_admin.sessions.inspection import export_session
from sessions_admin.sessions.previews import previews

MAX_SESSIONS = 200  # sessions per confirmation
DETAIL = "admin:chat_agentsession_change"


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb for the selected sessions."""

    name: Action
    label: str
    effect: str  # shown on the confirmation page
    done: str
    no_effect: str = ""  # what is reported instead of a session that is left as it was, or empty
    function: Callable[..., lifecycle.Outcome] | None = None  # none for an export, which is a file
    permission: str = MANAGE
    needs_reason: bool = False
    takes_end: bool = False
    is_destructive: bool = False


VERBS = (
    Verb(
        Action.PRUNE,
        "Prune to the limit",
        "The oldest turns are removed from each session until it is within its limit. The conversation is not changed.",
        "pruned",
        "no items to remove",
        function=lifecycle.prune_session,
    ),
    Verb(
        Action.EXPIRE,
        "Expire now",
        "Each session is removed, as in a clean-up. The messages are kept, and the next message rebuilds the session "
        "from them.",
        "expired",
        function=lifecycle.expire_session,
    ),
    Verb(
        Action.CLEAR,
        "Clear permanently",
        "The assistant permanently forgets these conversations up to now. People still see their messages.",
        "cleared",
        function=lifecycle.clear_session,
        is_destructive=True,
    ),
    Verb(
        Action.HOLD,
        "Hold",
        "These sessions cannot be cleaned up, expired or cleared until the hold ends or is released.",
        "held",
        function=lifecycle.hold_session,
        needs_reason=True,
        takes_end=True,
    ),
    Verb(
        Action.RELEASE,
        "Release",
        "The holds end. Clean-ups can remove these sessions again.",
        "released",
        function=lifecycle.release_session,
    ),
    Verb(
        Action.REBUILD,
        "Rebuild from the record",
        "Each session is filled again from the record, up to its limit.",
        "rebuilt",
        "no messages to rebuild from; after a permanent clear, only later messages count",
        function=lifecycle.rebuild_session,
    ),
    Verb(
        Action.EXPORT,
        "Export as JSON",
        "You download a file with the sessions, their conversations and the journals of their turns. Each export is "
        "recorded with your reason, and people can see it in their settings.",
        "exported",
        permission=READ,
        needs_reason=True,
    ),
)


class SessionVerbs(LongListAdmin[AgentSession]):
    """Offers the verbs, confirms them, and runs them."""

    class Media:
        css = {"all": ["sessions_admin/sessions.css"]}

    def verbs_for(self, request: HttpRequest) -> list[Verb]:
        """Return the verbs that the user may use."""
        return [verb for verb in VERBS if request.user.has_perm(verb.permission)]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the verbs that the user may use as actions."""
        act, verbs = type(self).confirm, self.verbs_for(request)
        return {verb.name.value: (partial(act, verb=verb), verb.name.value, verb.label) for verb in verbs}

    def confirm(self, request: HttpRequest, chosen: QuerySet[AgentSession], *, verb: Verb) -> HttpResponseBase | None:
        """Confirm, then run the verb for each session, and report the results."""
        sessions = self.chosen_rows(request, chosen.select_related("user", "conversation"), MAX_SESSIONS, "session")
        if sessions is None:
            return None
        if "confirmed" not in request.POST:
            return self._confirmation(request, verb, sessions)
        try:
            arguments = _verb_arguments(request, verb)
        except BadInput as error:
            return self._confirmation(request, verb, sessions, problem=error.detail)
        if verb.function is None:
            pieces = _as_json([each.session_id for each in sessions], **arguments)
            name = f"sessions-{timezone.now():%Y-%m-%d}.json"
            return attachment(request, pieces, name=name, kind="application/json")
        self._run_verb(request, verb, verb.function, sessions, arguments)
        back = request.POST.get("back", "")
        return redirect(DETAIL, back) if back.isdecimal() else None

    def _confirmation(
        self, request: HttpRequest, verb: Verb, sessions: list[AgentSession], problem: str = ""
    ) -> HttpResponse:
        effects = previews(verb.name, sessions)
        return self.render_page(
            request,
            "admin/chat/agentsession/confirm.html",
            f"{verb.label}?",
            verb=verb,
            previews=effects,
            items=sum(each.items for each in effects),
            removed=sum(each.removed for each in effects),
            refused=sum(bool(each.refusal) for each in effects),
            problem=problem,
            **{name: request.POST.get(name, "") for name in ("reason", "until", "back")},
        )

    def _run_verb(
        self,
        request: HttpRequest,
        verb: Verb,
        function: Callable[..., lifecycle.Outcome],
        sessions: list[AgentSession],
        arguments: dict[str, Any],
    ) -> None:
        done = removed = without_effect = 0
        for session in sessions:
            try:
                outcome = function(session.session_id, **arguments)
            except ThreadkeeperError as error:
                self.message_user(request, f"{_session_name(request, session)}: {error.detail}", messages.ERROR)
            else:
                is_effective = not verb.no_effect or _had_effect(outcome)
                done += is_effective
                without_effect += not is_effective
                removed += max(outcome.items_before - outcome.items, 0)
        one = _session_name(request, sessions[0]) if len(sessions) == 1 else ""
        if without_effect:
            named = one or counted(without_effect, "session")
            self.message_user(request, f"{named}: {verb.no_effect}.", messages.INFO)
        if done:
            named = one or counted(done, "session")
            suffix = f", {counted(removed, 'item')} removed" if removed else ""
            self.message_user(request, f"{named} {verb.done}{suffix}.", messages.SUCCESS)


def _had_effect(outcome: lifecycle.Outcome) -> bool:
    """Return whether a session was pruned, or has items after it was rebuilt."""
    return bool(outcome.items) if outcome.action == Action.REBUILD else outcome.items < outcome.items_before


def _session_name(request: HttpRequest, session: AgentSession) -> str:
    """Return a session's title if the user may read it, else its id."""
    return f"Session “{session.conversation if request.user.has_perm(READ) else session.session_id}”"


def _verb_arguments(request: HttpRequest, verb: Verb) -> dict[str, Any]:
    """Parse the arguments of a verb, other than the session. Raise BadInput."""
    reason = request.POST.get("reason", "").strip()
    if verb.needs_reason and not reason:
        raise BadInput("Please enter a reason.")
    arguments: dict[str, Any] = {"actor": actor_of(request), "reason": reason}
    return arguments | {"until": _parse_end(request.POST.get("until", ""))} if verb.takes_end else arguments


def _parse_end(text: str) -> datetime | None:
    """Parse the last day of a hold and return its end; None if there is none."""
    if not text.strip():
        return None
    try:
        day = parse_date(text.strip())
    except ValueError:
        day = None
    if day is None:
        raise BadInput("Please enter a valid date.")
    if day < timezone.localdate():
        raise BadInput("A hold cannot end in the past.")
    try:
        return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone()) + timedelta(days=1)
    except OverflowError:
        raise BadInput("A hold can last at most 100 years, or have no end.") from None


def _as_json(session_ids: list[str], actor: str, reason: str) -> Iterator[str]:
    """Yield each session as it is read, so that not all are in memory."""
    yield '{"sessions": ['
    for index, session_id in enumerate(session_ids):
        found: dict[str, Any]
        try:
            found = export_session(session_id, actor=actor, reason=reason).as_json()
        except ThreadkeeperError as error:
            found = {"session_id": session_id, "error": error.detail}
        yield (",\n" if index else "\n") + json.dumps(found, indent=1)
    yield "\n]}\n"
