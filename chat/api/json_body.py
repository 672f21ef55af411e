"""How the body of a request is read, and that of an answer written."""

import json
from datetime import datetime
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import JSONRenderer
from ninja.responses import NinjaJSONEncoder


class JsonParser(Parser):
    """Takes a JSON object and nothing else, with no number in it that is none.

    Any other value would be looked at by its attributes, and a text has a `title`.
    """

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """Read the body; ninja makes a 400 of whatever is raised."""
        parsed = json.loads(request.body, parse_constant=_refuse)
        if not isinstance(parsed, dict):
            raise ValueError("It is no object.")
        return parsed


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON.")


class _Encoder(NinjaJSONEncoder):
    def default(self, o: Any) -> Any:
        # Not Django's way, which cuts a time off at milliseconds: the socket tells the same times.
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


class JsonRenderer(JSONRenderer):
    """Writes times to the microsecond, as the websocket does."""

    encoder_class = _Encoder
