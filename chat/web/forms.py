"""Forms."""

from functools import cache
from importlib.resources import files
from typing import Any

from django import forms
from django.contrib.auth import authenticate, password_validation
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm, SetPasswordForm
from django.core.validators import MaxLengthValidator
from django.http import HttpRequest, QueryDict

from chat.accounts import services as accounts
from chat.models import User
from chat.models.email import MAX_LENGTH, EmailAddressFormField
from chat.models.user import WeekStart, is_time_zone

EMAIL_WIDGET = forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email", "autocapitalize": "none"})
PASSWORD_LENGTH = 1_000
WRONG_PASSWORD = "That is not your current password."  # noqa: S105 - a sentence


def new_password_field() -> forms.CharField:
    """Return the field for a new password."""
    return forms.CharField(
        label="Password",
        strip=False,
        max_length=PASSWORD_LENGTH,
        help_text="At least 8 characters, not a common word, not only digits.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


def limit_length(*fields: forms.Field) -> None:
    """Set the maximum length of the password fields of Django's own forms."""
    for field in fields:
        field.validators.append(MaxLengthValidator(PASSWORD_LENGTH))
        field.widget.attrs["maxlength"] = str(PASSWORD_LENGTH)


class ChoosePasswordForm(forms.Form):
    """Set the password of an account with a confirmed address; the browser adds the time zone and the first weekday."""

    password = new_password_field()
    time_zone = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    week_start = forms.CharField(required=False, max_length=1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, address: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.address = address

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if password := data.get("password"):
            try:
                password_validation.validate_password(password, User(email=data.get("email", self.address)))
            except forms.ValidationError as error:
                self.add_error("password", error)
        return data

    def save(self) -> User | None:
        """Create the account, or report that the address was taken meanwhile."""
        try:
            first = self.cleaned_data["week_start"]
            week_start = int(first) if first.isascii() and first.isdigit() else None
            return accounts.sign_up(**{"email": self.address, **self.cleaned_data, "week_start": week_start})
        except accounts.EmailTaken as taken:
            self.add_error("email" if "email" in self.fields else None, taken.detail)
            return None


class SignUpForm(ChoosePasswordForm):
    """E-mail address and password of a new account."""

    email = EmailAddressFormField(label="E-mail address", max_length=MAX_LENGTH, widget=EMAIL_WIDGET)
    field_order = ("email", "password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].widget.attrs["autofocus"] = True

    def clean_email(self) -> str:
        """Refuse an address that has an account."""
        email: str = self.cleaned_data["email"]
        if User.objects.filter(email=email).exists():
            raise forms.ValidationError(accounts.EmailTaken().detail)
        return email


class SignInForm(AuthenticationForm):
    """E-mail address and password."""

    error_messages = {"invalid_login": accounts.WRONG_CREDENTIALS}

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.fields["username"].widget.attrs.update(type="email", autocomplete="email", inputmode="email")
        limit_length(self.fields["password"])

    def clean(self) -> dict[str, Any]:
        """Report a deactivated account to clients with its password."""
        try:
            return super().clean()
        except accounts.AccountClosed as error:
            raise forms.ValidationError(error.detail, code="inactive") from None


def own_password_field(label: str = "Current password") -> forms.CharField:
    """Return the field for the current password."""
    return forms.CharField(
        label=label,
        strip=False,
        max_length=PASSWORD_LENGTH,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class OwnPasswordMixin:
    """Checks the current password with the authentication backends, which count failures as they do at sign-in."""

    request: HttpRequest

    def check_own_password(self, password: str) -> str:
        """Return the password if it is the signed-in user's."""
        user = self.request.user
        if authenticate(self.request, username=user.get_username(), password=password) != user:
            raise forms.ValidationError(WRONG_PASSWORD, code="password_incorrect")
        return password


class ChangePasswordForm(OwnPasswordMixin, PasswordChangeForm):
    """The current password and, twice, the new one."""

    def __init__(self, user: User, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request = request
        self.fields["new_password1"].help_text = new_password_field().help_text
        limit_length(*self.fields.values())

    def clean_old_password(self) -> str:
        """Refuse a wrong password."""
        return self.check_own_password(self.cleaned_data["old_password"])


class ChooseNewPasswordForm(SetPasswordForm):  # type: ignore[type-arg]  # not generic when it runs
    """A new password, twice, for a client with the link of a mail."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["new_password1"].help_text = new_password_field().help_text
        limit_length(*self.fields.values())

    def save(self, commit: bool = True) -> User:
        """Set the password, and end all logins and tokens."""
        user: User = super().save(commit=False)
        accounts.replace_password(user)
        return user


class MailboxForm(forms.Form):
    """The address to which a link is sent."""

    email = EmailAddressFormField(label="E-mail address", max_length=MAX_LENGTH, widget=EMAIL_WIDGET)


class OwnPasswordForm(OwnPasswordMixin, forms.Form):
    """The current password."""

    current_password = own_password_field("Your password")

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_current_password(self) -> str:
        """Refuse a wrong password."""
        return self.check_own_password(self.cleaned_data["current_password"])


class EmailForm(OwnPasswordForm):
    """A new e-mail address, confirmed by the password."""

    email = EmailAddressFormField(label="New e-mail address", max_length=MAX_LENGTH, widget=EMAIL_WIDGET)
    current_password = own_password_field()
    field_order = ("email",)

    def save(self, user: User) -> bool:
        """Change the address, or report that it is taken and return False."""
        accounts.EMAIL_CHANGES.count(user.pk)
        try:
            accounts.change_email(user, email=self.cleaned_data["email"])
        except accounts.EmailTaken as taken:
            self.add_error("email", taken.detail)
            return False
        return True


@cache
def time_zone_choices() -> list[tuple[str, str | list[tuple[str, str]]]]:
    """List the time zones by their current names, by region; `zone.tab` has no aliases."""
    regions: dict[str, list[tuple[str, str]]] = {}
    rows = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8").splitlines()
    for name in sorted(row.split("\t")[2] for row in rows if not row.startswith("#")):
        regions.setdefault(name.partition("/")[0], []).append((name, name.replace("_", " ")))
    return [("UTC", "UTC"), *regions.items()]


class TimeZoneField(forms.ChoiceField):
    """Offers each zone by its current name, and accepts every alias, as browsers report old names (`US/Eastern`)."""

    def valid_value(self, value: Any) -> bool:
        return isinstance(value, str) and is_time_zone(value)


class TimeZoneForm(forms.Form):
    """The user's time zone."""

    time_zone = TimeZoneField(label="Time zone", choices=time_zone_choices)
    week_start = forms.TypedChoiceField(
        label="Weeks start on", choices=WeekStart.choices, coerce=int, required=False, empty_value=None
    )

    def __init__(self, data: QueryDict | None = None, *, current: str, week_start: int) -> None:
        super().__init__(data, initial={"time_zone": current, "week_start": week_start})
        field = self.fields["time_zone"]
        assert isinstance(field, forms.ChoiceField)
        offered = {name for _, group in time_zone_choices() if isinstance(group, list) for name, _ in group}
        if current not in offered | {"UTC"}:
            # An old name of a zone can be kept by users who have it.
            field.choices = [(current, current), *time_zone_choices()]

    def save(self, user: User) -> None:
        """Save the time zone."""
        week_start = self.cleaned_data["week_start"] or user.week_start
        accounts.change_time_zone(user, time_zone=self.cleaned_data["time_zone"], week_start=week_start)
