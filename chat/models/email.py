"""E-mail addresses: the one form in which they are stored, looked up and counted."""

import unicodedata
from typing import Any

from django import forms
from django.db import models

MAX_LENGTH = 254


def normalize_email(text: str) -> str:
    """Return the one form of an e-mail address, whatever its letter case, width and composition."""
    # Lower-casing can leave characters that NFKC composes or decomposes again.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower()).strip()


class EmailAddressFormField(forms.EmailField):
    """An e-mail address, normalized before it is validated: NFKC can make a text longer."""

    def to_python(self, value: Any) -> str:
        text = super().to_python(value) or ""
        # Normalizing is slow for long texts, which fail the validation anyway.
        return normalize_email(text) if len(text) <= MAX_LENGTH else text


class EmailAddressField(models.EmailField[str, str]):
    """An e-mail address that every way to the database normalizes: forms, `save`, `update` and lookups."""

    def to_python(self, value: Any) -> Any:
        return _normalized(super().to_python(value))

    def get_prep_value(self, value: Any) -> Any:
        return _normalized(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = _normalized(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": EmailAddressFormField, **kwargs})


def _normalized(value: Any) -> Any:
    return normalize_email(value) if isinstance(value, str) else value
