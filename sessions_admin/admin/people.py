"""Users in the admin: their accounts and permissions, but not their conversations."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path

from chat.accounts.services import replace_password
from chat.exceptions import Conflict, ThreadkeeperError
from chat.models import User
from chat.models.email import canonical_email
from sessions_admin.admin.base import SuperusersOnly, actor_of
from sessions_admin.people import accounts
from sessions_admin.people.erase import erase_person, newest_report, preview_erasure
from sessions_admin.reports import counted
from sessions_admin.site import GuardedAdmin
from sessions_admin.views import export_response

PAGE_SECONDS = 10  # a page's time limit for searching both stores
MAX_PEOPLE = 50  # people per confirmation
ADMINISTRATOR = ("is_staff", "is_superuser")
RIGHTS = (*ADMINISTRATOR, "groups", "user_permissions")


@dataclass(frozen=True, slots=True)
class PersonVerb:
    """A verb for the selected users."""

    name: str  # also of the method that applies it to one
    label: str
    effect: str  # shown on the confirmation page
    permission: str
    needs_reason: bool = True
    is_destructive: bool = False
    max_people: int = MAX_PEOPLE


VERBS = {
    verb.name: verb
    for verb in (
        PersonVerb(
            "deactivate",
            "Deactivate",
            "These people can no longer sign in. They are signed out everywhere, their tokens are revoked, and running "
            "replies are stopped. Nothing is deleted, and you can reactivate the accounts later.",
            "chat.deactivate_user",
        ),
        PersonVerb(
            "reactivate",
            "Reactivate",
            "These people can sign in again with their previous password.",
            "chat.deactivate_user",
            needs_reason=False,
        ),
        PersonVerb(
            "export",
            "Export",
            "You download a file with everything about this person: account, conversations, tasks and the assistant’s "
            "memory. The person can see that you exported it, and your reason.",
            "chat.export_user",
            max_people=1,
        ),
        PersonVerb(
            "erase",
            "Erase",
            "Everything about this person is permanently removed from both stores: account, conversations, tasks and "
            "the assistant’s memory. Conversations on hold are kept with the closed account until you release "
            "them and erase the person again. The audit is kept; it contains ids only.",
            "chat.erase_user",
            is_destructive=True,
            max_people=1,
        ),
    )
}


class NewPersonForm(AdminUserCreationForm[User]):
    """An e-mail address and a password, or none yet."""

    class Meta:
        model = User
        fields = ("email",)


class PersonForm(UserChangeForm[User]):
    """A user's fields, without a username; an administrator stays."""

    actor: str  # set by the admin

    class Meta:
        model = User
        fields = "__all__"  # the admin's fieldsets say which

    def clean(self) -> dict[str, Any] | None:
        """Refuse to take a right that the actor or the site cannot do without."""
        cleaned = super().clean()
        taken = [name for name in ADMINISTRATOR if name in self.changed_data and not self.cleaned_data.get(name)]
        if taken:
            try:
                accounts.check_demotion(self.instance.pk, actor=self.actor)
            except ThreadkeeperError as error:
                self.add_error(taken[0], error.detail)
        return cleaned


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]  # not generic when it runs
    """A new password for a user, or none if they are no administrator: their logins and tokens end."""

    def clean(self) -> dict[str, Any] | None:
        """Refuse to leave an administrator without a password."""
        cleaned = super().clean()
        if self.user.is_superuser and not self.cleaned_data["set_usable_password"]:
            self.add_error("usable_password", "An administrator needs a password to sign in.")
        return cleaned

    def save(self, commit: bool = True) -> User:
        user: User = super().save(commit=False)
        replace_password(user)
        return user


@admin.register(User)
class PersonAdmin(GuardedAdmin[User], UserAdmin[User]):
    """Django's user pages, by e-mail address, with verbs that are confirmed first."""

    form = PersonForm
    add_form = NewPersonForm
    change_password_form = PasswordForm
    add_form_template = None
    fieldsets = (
        (None, {"fields": ("email", "password", "time_zone")}),
        ("Permissions", {"fields": ("is_active", *RIGHTS)}),
        ("Dates", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),)
    # The deactivate verb also ends logins and connections.
    readonly_fields = ("is_active", "last_login", "created_at")
    list_display = ("email", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    search_fields = ("email", "id__exact")
    ordering = ("email",)
    show_full_result_count = False

    class Media:
        css = {"all": ["sessions_admin/admin.css"]}

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only superusers may grant rights: others could grant themselves all of them."""
        return (*self.readonly_fields, *(() if request.user.is_superuser else RIGHTS))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Show the password's algorithm only to those who may change it."""
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        return ((None, {"fields": ("email", "time_zone")}), *self.fieldsets[1:])

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Give the form the actor; each request has a form class of its own."""
        form = super().get_form(request, obj, change=change, **kwargs)
        form.actor = actor_of(request)  # type: ignore[attr-defined]  # unknown to the form of a new user
        return form

    # Permissions.

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Staff with any permission for users may view them."""
        return super().has_view_permission(request, obj) or bool(_allowed_verbs(request))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only superusers may change the password or address of staff: others could sign in as them."""
        return super().has_change_permission(request, obj) and _may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the rows would be deleted without the sessions in the store. Use the erase verb."""
        return False

    # Verbs.

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return the verbs that the user may use."""
        act = type(self).confirm
        return {verb.name: (partial(act, verb=verb), verb.name, verb.label) for verb in _allowed_verbs(request)}

    def get_urls(self) -> list[URLPattern]:
        """Add a confirmation page for each verb."""
        ask, erased = self.admin_site.admin_view(self._confirm_view), self.admin_site.admin_view(self._erased)
        return [
            path("<uuid:person_id>/do/<slug:verb>/", ask, name="chat_user_do"),
            path("<uuid:person_id>/erased/", erased, name="chat_user_erased"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the buttons of the verbs that the user may use."""
        person = User.objects.filter(pk=object_id).only("is_active").first() if _is_uuid(object_id) else None
        unneeded = "reactivate" if person is not None and person.is_active else "deactivate"
        verbs = {"verbs": [verb for verb in _allowed_verbs(request) if verb.name != unneeded]}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **verbs})

    def _confirm_view(self, request: HttpRequest, person_id: Any, verb: str) -> HttpResponse:
        if verb not in VERBS:
            raise Http404
        if VERBS[verb] not in _allowed_verbs(request):
            raise PermissionDenied
        chosen = list(User.objects.filter(pk=person_id))
        if not chosen:
            raise Http404
        return self._confirmation(request, VERBS[verb], chosen)

    def confirm(self, request: HttpRequest, chosen: QuerySet[User], *, verb: PersonVerb) -> HttpResponseBase | None:
        """Confirm, then run the verb for each user, and report the results."""
        found = self.chosen_rows(request, chosen, verb.max_people, "user")
        if found is None:
            return None
        if "confirmed" not in request.POST:
            return self._confirmation(request, verb, found)
        if problem := _confirmation_error(request, verb, found):
            return self._confirmation(request, verb, found, problem=problem)
        return self._run_verb(request, verb, found)

    def _confirmation(
        self, request: HttpRequest, verb: PersonVerb, chosen: list[User], problem: str = ""
    ) -> HttpResponse:
        try:
            preview = preview_erasure(chosen[0].pk, seconds=PAGE_SECONDS) if verb.name == "erase" else None
        except ThreadkeeperError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return redirect("admin:chat_user_changelist")
        context = {"verb": verb, "people": chosen, "problem": problem, "preview": preview}
        reason = request.POST.get("reason", "")
        return self.render_page(request, "admin/chat/user/confirm.html", f"{verb.label}?", reason=reason, **context)

    def _run_verb(self, request: HttpRequest, verb: PersonVerb, chosen: list[User]) -> HttpResponseBase | None:
        handler: Callable[..., HttpResponseBase | None] = getattr(self, verb.name)
        for person in chosen:
            try:
                answer = handler(request, person, request.POST.get("reason", "").strip())
            except ThreadkeeperError as error:
                self.message_user(request, f"The account of {person.email}: {error.detail}", messages.ERROR)
            else:
                if answer is not None:
                    return answer
        return None

    def deactivate(self, request: HttpRequest, person: User, reason: str) -> None:
        """Close an account."""
        closing = accounts.deactivate_person(person.pk, actor=actor_of(request), reason=reason)
        logins, tokens = counted(closing.logins, "login"), counted(closing.tokens, "token")
        ended = f"{logins}, {tokens} and {counted(closing.turns, 'turn')} ended"
        self.message_user(request, f"The account of {person.email} is closed; {ended}.", messages.SUCCESS)

    def reactivate(self, request: HttpRequest, person: User, reason: str) -> None:
        """Reopen an account."""
        accounts.reactivate_person(person.pk, actor=actor_of(request), reason=reason)
        sentence = f"The account of {person.email} is reactivated: they can sign in again."
        self.message_user(request, sentence, messages.SUCCESS)

    def export(self, request: HttpRequest, person: User, reason: str) -> HttpResponseBase:
        """Send a file with everything about a user."""
        return export_response(request, person, actor=actor_of(request), reason=reason)

    def erase(self, request: HttpRequest, person: User, reason: str) -> HttpResponse:
        """Erase a person, and show the report."""
        if person == request.user:
            raise Conflict("Your own account can be deleted on the page “Your data”.")
        report = erase_person(person.pk, actor=actor_of(request), reason=reason, seconds=PAGE_SECONDS)
        note = " Conversations on hold are kept." if report.held_conversations else ""
        note = " One part is pending." if report.pending else note
        # No address, because messages are stored.
        self.message_user(request, f"The person was erased.{note}", messages.SUCCESS)
        return redirect("admin:chat_user_erased", report.person)

    def _erased(self, request: HttpRequest, person_id: Any) -> HttpResponse:
        """Show the newest erasure report, for printing."""
        if not request.user.has_perm("chat.erase_user"):
            raise PermissionDenied
        report = newest_report(person_id)
        if report is None:
            raise Http404
        return self.render_page(request, "admin/chat/user/erasure_report.html", "Erasure report", report=report)


def _allowed_verbs(request: HttpRequest) -> list[PersonVerb]:
    return [verb for verb in VERBS.values() if request.user.has_perm(verb.permission)]


def _confirmation_error(request: HttpRequest, verb: PersonVerb, chosen: list[User]) -> str:
    """Return what a confirmation lacks: a reason or, for destructive verbs, the typed address."""
    if verb.needs_reason and not request.POST.get("reason", "").strip():
        return "Please enter a reason."
    typed = canonical_email(request.POST.get("email", ""))
    if verb.is_destructive and not typed:
        return "Please type the e-mail address."
    if verb.is_destructive and [canonical_email(person.email) for person in chosen] != [typed]:
        return "The e-mail address does not match."
    return ""


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _may_change(request: HttpRequest, person: User | None) -> bool:
    return bool(request.user.is_superuser) or person is None or not (person.is_staff or person.is_superuser)


admin.site.unregister(Group)


@admin.register(Group)
class RightsAdmin(SuperusersOnly, GroupAdmin):
    """Groups grant permissions, too."""
