"""E-mail addresses: the one form in which they are stored, looked up and counted.

The domain of an address may be international, and then has two spellings: in Unicode, and in ASCII (`xn--…`). New
accounts have the first; earlier addresses are unchanged. A lookup with one spelling also finds the other.
"""

import unicodedata
from collections.abc import Iterable
from itertools import chain
from typing import Any

import idna
from django import forms
from django.db import models
from django.db.models.lookups import Exact, In

MAX_LENGTH = 254


def normalize_email(text: str) -> str:
    """Return the normalised form of an e-mail address, regardless of letter case, width and composition."""
    # Lower-casing can produce characters that NFKC composes or decomposes again.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower()).strip()


def canonical_email(text: str) -> str:
    """Return the normalised address with its domain in Unicode: the same for both spellings."""
    return _spellings(text)[-1]


def _spellings(text: str) -> list[str]:
    """Return the normalised address, and its spellings with the domain in ASCII and in Unicode if these differ."""
    address = normalize_email(text)
    local, at, domain = address.rpartition("@")
    if len(address) > MAX_LENGTH or (domain.isascii() and "xn--" not in domain):
        return [address]
    try:
        in_ascii = idna.encode(domain, uts46=True).decode()
        in_unicode = normalize_email(idna.decode(in_ascii))
    except UnicodeError:  # not a domain
        return [address]
    return list(dict.fromkeys(local + at + each for each in (in_ascii, in_unicode) if each))


class EmailAddressFormField(forms.EmailField):
    """An e-mail address, normalised before it is validated: NFKC can lengthen a text."""

    def to_python(self, value: Any) -> str:
        text = super().to_python(value) or ""
        # Normalising is slow for long texts, which fail the validation anyway.
        return normalize_email(text) if len(text) <= MAX_LENGTH else text


class EmailAddressField(models.EmailField[str, str]):
    """An e-mail address that is normalised in all uses: forms, `save`, `update` and lookups."""

    def to_python(self, value: Any) -> Any:
        return _normalized(super().to_python(value))

    def get_prep_value(self, value: Any) -> Any:
        return _normalized(super().get_prep_value(value))

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        value = canonical_email(value) if add and isinstance(value, str) else _normalized(value)
        setattr(model_instance, self.attname, value)
        return value

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": EmailAddressFormField, **kwargs})


@EmailAddressField.register_lookup
class SpelledExact(Exact):
    """Finds an address in each of its spellings."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        if isinstance(self.rhs, str) and len(spellings := _spellings(self.rhs)) > 1:
            return In(self.lhs, spellings).as_sql(compiler, connection)
        return super().as_sql(compiler, connection)


@EmailAddressField.register_lookup
class SpelledIn(In):
    """Finds addresses in each of their spellings."""

    def get_prep_lookup(self) -> Any:
        if isinstance(self.rhs, Iterable) and self.rhs_is_direct_value():
            spelled = (_spellings(value) if isinstance(value, str) else [value] for value in self.rhs)
            self.rhs = [*chain.from_iterable(spelled)]
        return super().get_prep_lookup()


def _normalized(value: Any) -> Any:
    return normalize_email(value) if isinstance(value, str) else value
