"""The admin site, and the base of every class on it.

Django allows filters on any field in the URL, as in `?content__startswith=a`, so that hidden fields could be guessed.
"""

from collections.abc import Iterable, Iterator
from functools import wraps
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, SuspiciousOperation, ValidationError
from django.db import DataError, IntegrityError
from django.db.models import Model, QuerySet
from django.db.models.fields.related import RelatedField
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver
from psycopg.errors import UniqueViolation

from sessions_admin.reports import counted

M = TypeVar("M", bound=Model)

# The autocomplete view serves every relation of every model, and `view_on_site` looks up rows of every model.
UNUSED_VIEWS = ("autocomplete", "view_on_site")


class GuardedChangeList(ChangeList):
    """Show the unfiltered list for an invalid date, as Django does for most invalid values."""

    def get_filters(self, request: HttpRequest) -> Any:
        try:
            return super().get_filters(request)
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error


class GuardedAdmin(admin.ModelAdmin[M]):
    """Allows only the lookups of the class's filters and date hierarchy."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return GuardedChangeList

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        """Refuse invalid primary keys."""
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(chosen)
            except ValidationError:
                raise BadRequest("There is no such row.") from None
        return super().response_action(request, queryset, *args, **kwargs)

    def render_page(self, request: HttpRequest, template: str, title: str, **context: object) -> TemplateResponse:
        """Render a page of this class beside Django's own."""
        base = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "media": self.media}
        return TemplateResponse(request, template, base | context)

    def chosen_rows(self, request: HttpRequest, chosen: QuerySet[M], limit: int, noun: str) -> list[M] | None:
        """Return the selected rows; None, with a message, if there are none, or more than a verb accepts."""
        rows = list(chosen[: limit + 1])
        if len(rows) > limit:
            self.message_user(request, f"Choose at most {counted(limit, noun)}.", messages.ERROR)
            return None
        selected = {self.opts.pk.to_python(pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)}
        if missing := selected - {row.pk for row in rows}:
            self.message_user(request, f"Not in this list any more: {counted(len(missing), noun)}.", messages.WARNING)
        return rows or None

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Validate again if another request has saved the same value meanwhile, so that the form shows it."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError as error:
            if not isinstance(error.__cause__, UniqueViolation):
                raise
            return super().changeform_view(request, *args, **kwargs)

    def lookup_allowed(self, lookup: str, value: object, request: HttpRequest | None = None) -> bool:
        return request is not None and lookup in set(self._lookups(request))

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:
        """Allow the primary key only."""
        pk = self.opts.pk
        return pk is not None and to_field in (pk.name, pk.attname)

    def _lookups(self, request: HttpRequest) -> Iterator[str]:
        if self.date_hierarchy:
            yield from (f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day"))
        for named in self.get_list_filter(request):
            if isinstance(named, type):
                yield str(getattr(named, "parameter_name", ""))
            else:
                path = named[0] if isinstance(named, list | tuple) else named
                yield from self._lookups_of(str(path))

    def _lookups_of(self, path: str) -> Iterator[str]:
        """Yield the parameters of Django's filters for a field."""
        field = get_fields_from_path(self.model, path)[-1]
        if isinstance(field, RelatedField):
            yield f"{path}__{field.target_field.name}__exact"
        yield from (path, f"{path}__exact", f"{path}__isnull")


class StaffSite(admin.AdminSite):
    """Adds the base above to every registered class, including those of other apps."""

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[admin.ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        given = admin_class or admin.ModelAdmin
        guarded = given if issubclass(given, GuardedAdmin) else type(given.__name__, (GuardedAdmin, given), {})
        super().register(model_or_iterable, guarded, **options)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Respond 400 to invalid values, including those that PostgreSQL refuses; the log contains no part of the
        query.
        """

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                return view(request, *args, **kwargs)  # type: ignore[no-any-return]
            except (SuspiciousOperation, DataError) as error:
                raise BadRequest(f"The request has an invalid value ({type(error).__name__}).") from None

        return super().admin_view(guarded, cacheable)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Omit the views that no page uses."""
        return [url for url in super().get_urls() if getattr(url, "name", None) not in UNUSED_VIEWS]
