"""Answers observed from real endpoints, each with its public report; test_answers.py replays them.

Data only. To add one, write the bytes as received and the reply that the user should see.
"""

from chat.tests.endpoint.answers.calls import CALLS
from chat.tests.endpoint.answers.completions import COMPLETIONS
from chat.tests.endpoint.answers.entry import ALL_RIGHT, Entry
from chat.tests.endpoint.answers.responses import ENDS, RESPONSES
from chat.tests.endpoint.answers.transport import ERRORS, LIMITS, TRANSPORT
from chat.tests.model_server import Raw

NO_ANSWERS = ENDS.keys() | ERRORS.keys() | LIMITS.keys()
ANSWERS: dict[str, Entry] = {
    **{f"call: {name}": entry for name, entry in CALLS.items()},
    **{f"completions: {name}": entry for name, entry in COMPLETIONS.items()},
    **{f"responses: {name}": entry for name, entry in RESPONSES.items()},
    **{f"transport: {name}": entry for name, entry in TRANSPORT.items()},
}
# Answers of the Responses API after which the product retries the request.
RETRIED: list[Raw] = [
    entry.responses
    for name, entry in ANSWERS.items()
    if entry.responses and entry.reply == ALL_RIGHT and name.partition(": ")[2] in NO_ANSWERS
]

__all__ = ["ALL_RIGHT", "ANSWERS", "RETRIED", "Entry"]
