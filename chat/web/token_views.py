"""The page on which users manage their tokens."""

import uuid
from datetime import timedelta

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from chat.accounts import tokens
from chat.accounts.tokens import NewToken
from chat.exceptions import NotFound, ThreadkeeperError
from chat.models import User
from chat.models.token import NAME_LENGTH
from chat.web.views import UserRequest

LIFETIMES = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "until it is revoked"))
KEY_COOKIE = "new_token"
KEY_SECONDS = 60


class TokenForm(forms.Form):
    """A token's name, scopes and lifetime."""

    name = forms.CharField(
        label="Name",
        max_length=NAME_LENGTH,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "My script"}),
    )
    scopes = forms.MultipleChoiceField(
        label="Permissions",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one permission."},
    )
    days = forms.ChoiceField(label="Expires", choices=LIFETIMES, required=False, initial="90")

    def __init__(self, data: QueryDict | None = None, *, user: User) -> None:
        super().__init__(data)
        self.user = user
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [
            (scope.value, f"{str(scope.label)[:1].upper()}{str(scope.label)[1:]}".replace("'", "’"))
            for scope in tokens.scopes_of(user)
        ]

    def save(self) -> NewToken | None:
        """Create the token, or add the error to the form and return None."""
        days = self.cleaned_data["days"]
        expires_at = timezone.now() + timedelta(days=int(days)) if days else None
        try:
            return tokens.make(
                user=self.user,
                name=self.cleaned_data["name"],
                scopes=self.cleaned_data["scopes"],
                expires_at=expires_at,
            )
        except ThreadkeeperError as error:
            self.add_error(None, error.detail)
            return None


@login_required
@never_cache
@sensitive_variables("new_token")
def manage_tokens(request: UserRequest) -> HttpResponse:
    """List the user's tokens and create another, whose key is shown only once."""
    if request.method == "POST":
        form = TokenForm(request.POST, user=request.user)
        new_token = form.save() if form.is_valid() else None
        return _page(request, form, status=422) if new_token is None else _redirect_with(new_token)
    new_token = tokens.made_with(request.COOKIES.get(KEY_COOKIE, ""), user_id=request.user.pk)
    response = _page(request, TokenForm(user=request.user), new_token)
    if KEY_COOKIE in request.COOKIES:
        response.delete_cookie(KEY_COOKIE, path=reverse("tokens"), samesite="Strict")
    return response


def _redirect_with(new_token: NewToken) -> HttpResponse:
    """Redirect, so that a reload creates no second token; the key is stored only in the browser, for the next page."""
    response = redirect("tokens")
    response.set_cookie(
        KEY_COOKIE,
        new_token.key,
        max_age=KEY_SECONDS,
        path=reverse("tokens"),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Strict",
    )
    return response


def _page(
    request: UserRequest, form: TokenForm, new_token: NewToken | None = None, *, status: int = 200
) -> HttpResponse:
    with timezone.override(request.user.zone):
        now = timezone.now()
        listed = [(token, token.holds(now)) for token in tokens.of_user(request.user.pk)]
        context = {
            "form": form,
            "new_token": new_token,
            "tokens": [token for token, holds in listed if holds],
            "inactive_tokens": [token for token, holds in listed if not holds],
        }
        return render(request, "accounts/tokens.html", context, status=status)


@login_required
@never_cache
def revoke(request: UserRequest, token_id: uuid.UUID) -> HttpResponse:
    """Confirm and revoke a token of the user."""
    if request.method != "POST":
        token = tokens.valid_token(user_id=request.user.pk, token_id=token_id)
        return render(request, "accounts/token_revoke.html", {"token": token}) if token else redirect("tokens")
    try:
        token = tokens.revoke(user_id=request.user.pk, token_id=token_id)
    except NotFound as error:
        raise Http404(error.detail) from None
    messages.success(request, f"“{token.name}” is revoked.")
    return redirect("tokens")
