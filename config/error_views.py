"""The page of a failed request."""

import logging
import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache

from chat.infra.database_limits import is_transient, summary

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds


@never_cache
def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 503 if the database was too slow or unreachable, else 500. Called while the exception is handled."""
    error = sys.exc_info()[1]
    if not is_transient(error):
        return HttpResponse(render_to_string("500.html"), status=500)
    view = request.resolver_match.view_name if request.resolver_match else "a page"
    logger.warning("The database failed during a request (%s): %s", view, summary(error))
    response = HttpResponse(render_to_string("503.html"), status=503, headers={"Retry-After": RETRY_AFTER})
    # Otherwise Django logs the traceback.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
