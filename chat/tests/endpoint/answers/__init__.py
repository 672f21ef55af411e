"""Answers that endpoints were seen to give, each with its public report; played by test_answers.py.

Data only. To add one, write the bytes as they came and what the person should read.
"""

from chat.tests.endpoint.answers.calls import CALLS
from chat.tests.endpoint.answers.completions import COMPLETIONS
from chat.tests.endpoint.answers.entry import ALL_RIGHT, Entry
from chat.tests.endpoint.answers.known import KNOWN
from chat.tests.endpoint.answers.responses import RESPONSES
from chat.tests.endpoint.answers.transport import TRANSPORT

ANSWERS: dict[str, Entry] = {
    **{f"call: {name}": entry for name, entry in CALLS.items()},
    **{f"completions: {name}": entry for name, entry in COMPLETIONS.items()},
    **{f"responses: {name}": entry for name, entry in RESPONSES.items()},
    **{f"transport: {name}": entry for name, entry in TRANSPORT.items()},
}

__all__ = ["ALL_RIGHT", "ANSWERS", "KNOWN", "Entry"]
