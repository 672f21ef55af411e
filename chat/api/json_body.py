"""How the body of a request is read, and that of an answer written."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import JSONRenderer
from ninja.responses import NinjaJSONEncoder

from chat.exceptions import BadJson, UnknownFields
from chat.infra.json_text import read_json


class JsonParser(Parser):
    """Takes a JSON object and nothing else.

    Any other value would be looked at by its attributes, and a text has a `title`.
    """

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """Read the body. Raise BadJson, of which ninja makes the cause of a 400."""
        parsed = read_json(request.body)
        if not isinstance(parsed, dict):
            raise BadJson("The body needs to be a JSON object.")
        return parsed


def check_no_body(request: HttpRequest) -> None:
    """Refuse what an operation that takes no body would ignore; an empty object is no body.

    Raise BadJson, UnknownFields.
    """
    if request.body and (fields := JsonParser().parse_body(request)):
        raise UnknownFields([*fields])


class _Encoder(NinjaJSONEncoder):
    def default(self, o: Any) -> Any:
        # Django's encoder cuts a time off at milliseconds; the socket sends microseconds.
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


class JsonRenderer(JSONRenderer):
    """Writes times to the microsecond, as the websocket does."""

    encoder_class = _Encoder
