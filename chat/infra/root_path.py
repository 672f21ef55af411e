"""The path of the host at which the site is, such as `/chat`: that of PUBLIC_URL, or none.

A proxy may pass it on or strip it. A scope and a request have it, as ASGI wants it; code that chooses by the path asks
`within_site`, or a request's `path_info`.
"""

from django.conf import settings


def with_root(path: str) -> str:
    """Return the path as the browser requests it, whether or not a proxy has stripped the root path."""
    return path if _has_root(path) else settings.ROOT_PATH + path


def within_site(path: str) -> str:
    """Return a path without the root path."""
    return path.removeprefix(settings.ROOT_PATH) if _has_root(path) else path


def _has_root(path: str) -> bool:
    return path == settings.ROOT_PATH or path.startswith(f"{settings.ROOT_PATH}/")
