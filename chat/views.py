"""Pages: who may see them, and what they are given to show."""

import uuid
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm, PasswordResetForm, SetPasswordForm
from django.contrib.auth.views import RedirectURLMixin
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET
from django.views.generic import FormView

from chat import forms, history, shelf
from chat.assistant.configured import describe
from chat.infra.public_url import public_origin
from chat.models import User
from chat.models.conversation import USER_TEXT_LENGTH

EXAMPLES = (
    "Add a task to buy groceries for the party",
    "Remind me to pay the bills by Friday",
    "What do I still have to do?",
    "Add three tasks: book a table, call Mum, water the plants",
)


class PersonRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User


@require_GET
@login_required
@never_cache
def home(request: PersonRequest) -> HttpResponse:
    """Show a new chat; its first message makes the conversation."""
    return _chat_page(request, history.new_chat(request.user, uuid.uuid4()))


@require_GET
@login_required
@never_cache
def home_state(request: PersonRequest) -> JsonResponse:
    """Answer what a new chat would begin with, for a page that was cut off for a while."""
    return JsonResponse(history.new_chat(request.user, uuid.uuid4()).as_json())


@require_GET
@login_required
@never_cache
def conversation(request: PersonRequest, conversation_id: uuid.UUID) -> HttpResponse:
    """Show one conversation of one's own."""
    return _chat_page(request, _own_chat(request.user, conversation_id))


@require_GET
@login_required
@never_cache
def conversation_state(request: PersonRequest, conversation_id: uuid.UUID) -> JsonResponse:
    """Answer what the page of a conversation would begin with, for a page that was cut off for a while."""
    return JsonResponse(_own_chat(request.user, conversation_id).as_json())


@require_GET
@login_required
@never_cache
def version(request: PersonRequest, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> HttpResponse:
    """Show an earlier version of a conversation, to be looked at only: as it was when a turn of it was current."""
    page = _own_chat(request.user, conversation_id, turn_id)
    if page.version is None:
        return redirect(reverse("conversation", args=[conversation_id]) + f"#turn-{turn_id}")
    return _chat_page(request, page)


def _own_chat(person: User, conversation_id: uuid.UUID, version: uuid.UUID | None = None) -> history.ChatPage:
    page = history.chat(person, conversation_id, version)
    if page is None:
        raise Http404("There is no such conversation.")
    return page


def _chat_page(request: PersonRequest, page: history.ChatPage) -> HttpResponse:
    with timezone.override(request.user.zone):
        now = timezone.localtime()
        context = {
            "page": page,
            "pending": [(task, task.is_overdue(now)) for task in history.pending(page.tasks)],
            "completed": history.completed(page.tasks),
            "state": page.as_json(),
            "model": describe(),
            "examples": EXAMPLES,
            "text_limit": USER_TEXT_LENGTH,
            "now": now,
        }
        return render(request, "chat/chat.html", context)


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class SignUp(RedirectURLMixin, FormView):  # type: ignore[type-arg]  # not generic when it runs
    """Make an account and sign in with it, where sign-up is open."""

    form_class = forms.SignUpForm
    template_name = "accounts/signup.html"
    next_page = settings.LOGIN_REDIRECT_URL

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        if settings.SIGNUP == "closed":
            return render(request, "accounts/signup_closed.html", status=403)
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: forms.SignUpForm) -> HttpResponse:
        person = form.save()
        if person is None:
            return self.form_invalid(form)
        login(self.request, person, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponseRedirect(self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(next=self.get_redirect_url(), **kwargs)


class SignIn(auth_views.LoginView):
    """Sign in with e-mail address and password."""

    authentication_form = forms.SignInForm
    template_name = "accounts/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(signup_is_open=settings.SIGNUP == "open", **kwargs)


@method_decorator(never_cache, name="dispatch")
class ChangePassword(auth_views.PasswordChangeView):
    """Choose another password; logins elsewhere end."""

    form_class = forms.ChangePasswordForm
    template_name = "accounts/password_change.html"
    success_url = reverse_lazy("settings")

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        messages.success(self.request, "Your password is changed. You are signed out everywhere else.")
        return super().form_valid(form)


@method_decorator(never_cache, name="dispatch")
class ResetPassword(auth_views.PasswordResetView):
    """Ask for a link by mail; the answer is the same whether or not there is an account."""

    form_class = forms.ResetPasswordForm
    template_name = "accounts/password_reset.html"
    email_template_name = "accounts/mail/password_reset.txt"
    subject_template_name = "accounts/mail/password_reset_subject.txt"
    success_url = reverse_lazy("password_reset_done")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.EMAIL_URL:
            return render(request, "accounts/password_reset_unavailable.html")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        self.extra_email_context = {"origin": public_origin(self.request)}
        return super().form_valid(form)


class ResetPasswordConfirm(auth_views.PasswordResetConfirmView):
    """Choose a new password by the link in the mail."""

    form_class = forms.ChooseNewPasswordForm
    template_name = "accounts/password_reset_confirm.html"
    success_url = reverse_lazy("login")

    def form_valid(self, form: "SetPasswordForm[User]") -> HttpResponse:
        messages.success(self.request, "Your new password is set. Sign in with it.")
        return super().form_valid(form)


@sensitive_post_parameters()
@login_required
@never_cache
def account_settings(request: PersonRequest) -> HttpResponse:
    """Change one's e-mail address and time zone."""
    person, posted = request.user, request.POST.get("form")
    email_form = partial(forms.EmailForm, request=request)
    zone_form = partial(forms.TimeZoneForm, current=person.time_zone)
    email = email_form(request.POST) if posted == "email" else email_form()
    zone = zone_form(request.POST) if posted == "time_zone" else zone_form()
    if email.is_bound and email.is_valid() and email.save(person):
        messages.success(request, "Your e-mail address is changed.")
        return redirect("settings")
    if zone.is_bound and zone.is_valid():
        zone.save(person)
        messages.success(request, "Your time zone is changed.")
        return redirect("settings")
    status = 422 if email.is_bound or zone.is_bound else 200
    context = {"email_form": email, "zone_form": zone, "terms": shelf.terms()}
    return render(request, "accounts/settings.html", context, status=status)
