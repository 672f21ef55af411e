"""Send mail in the background, from a small pool of threads.

The response time then reveals nothing about accounts, and a mail server that hangs blocks no request.
Nothing is stored of a mail: it may contain a link that opens an account.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.db import DatabaseError, close_old_connections
from django.template.loader import render_to_string
from django.urls import set_script_prefix

from chat.exceptions import ServerBusy

logger = logging.getLogger(__name__)

POOL_SIZE = 2
MAX_PENDING = 100  # being sent or waiting, in this process
RETRY_AFTER = 60  # seconds

_places = threading.BoundedSemaphore(MAX_PENDING)


def in_background(function: Callable[..., None], **values: object) -> None:
    """Run a function that sends mail in the pool. Raise ServerBusy if too many wait."""
    if not _places.acquire(blocking=False):
        raise ServerBusy(retry_after=RETRY_AFTER)
    _threads().submit(_run, partial(function, **values))


def send(name: str, *, to: str, **context: object) -> None:
    """Send the mail of a pair of templates."""
    values = {**context, "email": to}
    subject = " ".join(render_to_string(f"accounts/mail/{name}_subject.txt", values).split())
    send_mail(subject, render_to_string(f"accounts/mail/{name}.txt", values), None, [to])


def _run(function: Callable[[], None]) -> None:
    # Links need the script prefix, which is set for the threads of requests only.
    set_script_prefix(f"{settings.ROOT_PATH}/")
    try:
        function()
    except (SMTPException, OSError, DatabaseError) as error:
        # The text and traceback of the exception would repeat addresses.
        logger.error("A mail could not be sent: %s %s", type(error).__name__, getattr(error, "smtp_code", ""))
    except Exception:
        logger.exception("A mail could not be sent.")
    finally:
        close_old_connections()
        _places.release()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="mail")
