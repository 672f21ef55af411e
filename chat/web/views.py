"""Pages: access checks and context data."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.contrib.auth.views import RedirectURLMixin
from django.db import transaction
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET
from django.views.generic import FormView

from chat.accounts import known_devices, links, mail
from chat.accounts import services as accounts
from chat.assistant import usage
from chat.assistant.configured import describe
from chat.assistant.model_config import configured, name_in_use
from chat.conversations import chat_page, listing
from chat.infra.markdown import render_newest
from chat.models import User
from chat.models.conversation import USER_TEXT_LENGTH
from chat.tasks.panel import OPEN_SHOWN, is_overdue
from chat.web import forms

EXAMPLES = (
    "Add a task to buy groceries for the party",
    "I need to pay the bills by Friday",
    "What do I still have to do?",
    "Add three tasks: book a table, call Mum, water the plants",
)


class UserRequest(HttpRequest):
    """A request of a signed-in user."""

    user: User


V = TypeVar("V", bound=Callable[..., HttpResponseBase])


def private_page(view: V) -> V:
    """Show a page, which is never cached, to signed-in users only."""
    return require_GET(login_required(never_cache(view)))


@private_page
def home(request: UserRequest) -> HttpResponse:
    """Show a new chat; its first message creates the conversation."""
    return _render(request, chat_page.new_chat(request.user, uuid.uuid4(), **_sizes(request)))


@private_page
def home_state(request: UserRequest) -> JsonResponse:
    """Return the state of a new chat, for a page that was disconnected for a while."""
    return JsonResponse(chat_page.new_chat(request.user, uuid.uuid4(), **_sizes(request)).as_json())


@private_page
def conversation(request: UserRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Show a conversation of the user: its end or, without scripts, another part of it."""
    page = _own_chat(request, conversation_id)
    part = _part(request)
    if message := _uuid_param(request, "message"):
        turn = chat_page.turn_of_message(request.user, conversation_id, message)
        if turn is None:
            raise Http404("There is no such message.")
        if turn.superseded_by_id is not None:
            return redirect(reverse("version", args=[conversation_id, turn.pk]) + f"#message-{message}")
        part = chat_page.Part(around=turn.pk)
    shown = chat_page.turns_of(request.user, conversation_id, part=part) if part else page
    if shown is None:
        raise Http404("There is no such turn.")
    return _render(request, replace(page, turns=shown.turns, earlier=shown.earlier, later=shown.later), page)


@private_page
def conversation_state(request: UserRequest, conversation_id: uuid.UUID) -> JsonResponse:
    """Return the state of a conversation, for a page that was disconnected for a while.

    With `since` it has all turns from that one on.
    """
    part = chat_page.Part(since=_uuid_param(request, "since"))
    return JsonResponse(_own_chat(request, conversation_id, part=part).as_json())


@private_page
def earlier_turns(request: UserRequest, conversation_id: uuid.UUID) -> JsonResponse:
    """Return the turns before one of a conversation, the nearest ones."""
    part = chat_page.Part(before=_uuid_param(request, "before"), size=chat_page.TURNS_LOADED)
    page = chat_page.turns_of(request.user, conversation_id, part=part)
    if page is None:
        raise Http404("There is no such turn.")
    return JsonResponse(page.turns_as_json())


@private_page
def version(request: UserRequest, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> HttpResponse:
    """Show an earlier version of a conversation read-only: as it was when one of its turns was current."""
    page = _own_chat(request, conversation_id, turn_id, part=_part(request))
    if page.version is None:
        return redirect(f"{reverse('conversation', args=[conversation_id])}?turn={turn_id}#turn-{turn_id}")
    return _render(request, page)


def _sizes(request: HttpRequest) -> dict[str, int]:
    """Return how many open tasks and chats the page shows: `?tasks=` and `?chats=`, within bounds."""
    return {
        "tasks": min(max(_int_param(request, "tasks"), OPEN_SHOWN), settings.TASKS_PER_USER),
        "chats": min(max(_int_param(request, "chats"), listing.SIDEBAR_SIZE), listing.MAX_SIZE),
    }


def _int_param(request: HttpRequest, name: str) -> int:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _uuid_param(request: HttpRequest, name: str) -> uuid.UUID | None:
    """Parse an id of the URL, or return None if it has none. Raise Http404 for anything else."""
    try:
        return uuid.UUID(text) if (text := request.GET.get(name)) else None
    except ValueError:
        raise Http404("This is not an id.") from None


def _part(request: HttpRequest) -> chat_page.Part | None:
    """Return the part of the conversation that the URL asks for, or None for the default."""
    before, after, around = (_uuid_param(request, name) for name in ("before", "after", "turn"))
    return chat_page.Part(before, after, around) if before or after or around else None


def _own_chat(
    request: UserRequest,
    conversation_id: uuid.UUID,
    version: uuid.UUID | None = None,
    part: chat_page.Part | None = None,
) -> chat_page.ChatPage:
    page = chat_page.chat(request.user, conversation_id, version, part=part, **_sizes(request))
    if page is None:
        raise Http404("There is no such conversation.")
    return page


def _render(request: UserRequest, page: chat_page.ChatPage, begun: chat_page.ChatPage | None = None) -> HttpResponse:
    """Render a page; its script starts with `begun` if that is another part of the conversation."""
    with timezone.override(request.user.zone):
        now = timezone.localtime()
        # For readers without scripts.
        rendered = render_newest([turn.reply.text if turn.reply else turn.text for turn in page.turns])
        context = {
            "page": page,
            "turns": zip(page.turns, rendered, strict=True),
            "pending": [(task, is_overdue(task, now)) for task in page.panel.open] if page.panel else [],
            "state": (begun or page).as_json(),
            **_models(page),
            "examples": EXAMPLES,
            "text_limit": USER_TEXT_LENGTH,
            "now": now,
        }
        return render(request, "chat/chat.html", context)


def _models(page: chat_page.ChatPage) -> dict[str, Any]:
    """Return the models for the page: the current one and, if there are several, all of them."""
    models = configured()
    chosen = page.conversation.model if page.conversation else name_in_use("")
    label = next((model.label or model.name for model in models if model.name == chosen), describe())
    return {"model": label, "chosen_model": chosen, "models": models if len(models) > 1 else ()}


class _CreatesAccount(RedirectURLMixin, FormView):  # type: ignore[type-arg]  # not generic when it runs
    """Creates an account and signs in with it, if sign-up is open."""

    template_name = "accounts/signup.html"
    next_page = settings.LOGIN_REDIRECT_URL

    @method_decorator([sensitive_post_parameters(), never_cache])
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        if settings.SIGNUP == "closed":
            return render(request, "accounts/signup_closed.html", status=403)
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.ChoosePasswordForm) -> HttpResponse:
        person = form.save()
        if person is None:
            return self.form_invalid(form)
        login(self.request, person, backend=settings.AUTHENTICATION_BACKENDS[0])
        response = HttpResponseRedirect(self.get_success_url())
        known_devices.remember(self.request, response, person)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(next=self.get_redirect_url(), **kwargs)


class SignUp(_CreatesAccount):
    """Create an account; if mail is configured, send a link to create it, with the same response for all addresses."""

    def get_form_class(self) -> type[Form]:
        return forms.MailboxForm if settings.EMAIL_URL else forms.SignUpForm

    def form_valid(self, form: Any) -> HttpResponse:
        if not settings.EMAIL_URL:
            return super().form_valid(form)
        mail.ask_for_mail(self.request, mail.send_sign_up_link, email=form.cleaned_data["email"])
        return render(self.request, "accounts/signup_sent.html")


class SignUpByLink(_CreatesAccount):
    """Set the password of a new account, with the link of a mail."""

    form_class = forms.ChoosePasswordForm

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"address": self.email}

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().get(request) if self.email else render(request, "accounts/invalid_link.html", status=404)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().post(request) if self.email else render(request, "accounts/invalid_link.html", status=404)

    @cached_property
    def email(self) -> str:
        """The address that the link confirms, or an empty string."""
        return links.email_of_sign_up(self.kwargs["token"]) or ""


class SignIn(auth_views.LoginView):
    """Sign in with e-mail address and password."""

    authentication_form = forms.SignInForm
    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        known_devices.remember(self.request, response, form.get_user())
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(signup_is_open=settings.SIGNUP == "open", **kwargs)


@method_decorator(never_cache, name="dispatch")
class ChangePassword(auth_views.PasswordChangeView):
    """Change the password; logins elsewhere end."""

    form_class = forms.ChangePasswordForm
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("settings")

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, "Your password is changed. You are signed out everywhere else.")
        response = super().form_valid(form)
        accounts.close_ended_connections(form.user)
        known_devices.remember(self.request, response, form.user)
        return response


@method_decorator(never_cache, name="dispatch")
class ResetPassword(FormView):  # type: ignore[type-arg]
    """Request a link by mail; the response is the same whether or not there is an account."""

    form_class = forms.MailboxForm
    template_name = "accounts/password_reset.html"
    success_url = reverse_lazy("password_reset_done")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.EMAIL_URL:
            return render(request, "accounts/password_reset_unavailable.html")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Form) -> HttpResponse:
        mail.ask_for_mail(self.request, mail.send_reset_link, email=form.cleaned_data["email"])
        return super().form_valid(form)


class ResetPasswordConfirm(auth_views.PasswordResetConfirmView):
    """Set a new password with the link of the mail; all logins and tokens end."""

    form_class = forms.ChooseNewPasswordForm
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("login")

    def get_user(self, uidb64: str) -> User | None:
        user: User | None = super().get_user(uidb64)
        return user if user is not None and user.is_active else None

    @transaction.atomic
    def form_valid(self, form: "SetPasswordForm[User]") -> HttpResponse:
        # Another request may use the same link.
        form.user = User.objects.select_for_update().get(pk=form.user.pk)
        token = self.request.session.get(auth_views.INTERNAL_RESET_SESSION_TOKEN)
        if not self.token_generator.check_token(form.user, token):
            self.validlink = False
            return self.render_to_response(self.get_context_data())
        messages.success(
            self.request,
            "Your new password is set. Everything that was signed in is signed out, and all tokens are revoked.",
        )
        response = super().form_valid(form)
        known_devices.remember(self.request, response, form.user)
        return response


@login_required
@never_cache
def change_email_by_link(request: UserRequest, token: str) -> HttpResponse:
    """Change the e-mail address to the one that the link of a mail confirms."""
    email = links.email_of_change(request.user, token)
    if email is None:
        return render(request, "accounts/invalid_link.html", status=404)
    if request.method != "POST":
        return render(request, "accounts/email_confirm.html", {"new_email": email})
    try:
        accounts.change_email(request.user, email=email)
    except accounts.EmailTaken as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "Your e-mail address is changed.")
    return redirect("settings")


@sensitive_post_parameters()
@login_required
@never_cache
def account_settings(request: UserRequest) -> HttpResponse:
    """Change the user's e-mail address and time zone."""
    person, posted = request.user, request.POST.get("form")
    email_form = partial(forms.EmailForm, request=request)
    zone_form = partial(forms.TimeZoneForm, current=person.time_zone, week_start=person.week_start)
    email = email_form(request.POST) if posted == "email" else email_form()
    zone = zone_form(request.POST) if posted == "time_zone" else zone_form()
    if email.is_bound and email.is_valid():
        if settings.EMAIL_URL:
            mail.ask_for_mail(request, mail.send_change_link, user=person, email=email.cleaned_data["email"])
            messages.success(request, "We have sent a link to your new address. Open it to confirm the address.")
            return redirect("settings")
        if email.save(person):
            messages.success(request, "Your e-mail address is changed.")
            return redirect("settings")
    if zone.is_bound and zone.is_valid():
        zone.save(person)
        messages.success(request, "Your time zone and week are saved.")
        return redirect("settings")
    status = 422 if email.is_bound or zone.is_bound else 200
    context = {"email_form": email, "zone_form": zone, "retention": listing.retention_periods()}
    context["usage"] = usage.of_month(person.pk, now=timezone.now())
    return render(request, "accounts/settings.html", context, status=status)
