"""The built-in model: no message blocks the server for other users."""

from config.tests.attack.clients import Person, open_socket
from config.tests.attack.marks import product_group
from config.tests.attack.product import Product, Watch
from config.tests.attack.test_markup import MARKUP

pytestmark = product_group

# Texts with many repetitions that the rules match, of about 1,000 characters and more.
REPETITIVE = [
    "remind me " + "on i mean 1 if " * 66,
    "add " + "a and " * 330,
    "i mean " * 1_400,
    "delete task " + "1, " * 3_000,
    "mark " + "the first " * 990,
    "not " * 2_490,
    "tomorrow at 5 " * 700,
    "in 1 day " * 1_100,
    "add tasks: " + "x; " * 3_300,
    "no, " * 2_490,
    "and then " * 1_110,
    "due on the 1st of " * 550,
    "(" * 10_000,
    '"' * 10_000,
    " " * 9_990 + "x",
    "a" * 10_000,
    "1" * 10_000,
    "actually, make that " * 500,
    "high priority low priority " * 370,
    "every " * 1_660,
    "-" * 10_000,
    "?" * 10_000,
    "\n" * 9_999 + "x",
    "rename a to b to " * 580,
    "\n\n".join(MARKUP),
    "add a task called " + " and ".join(MARKUP),
]


async def measure_latency(product: Product, person: Person, texts: list[str], *, within: float) -> Watch:
    """Send messages and wait for their replies, while the latency of the event loop is measured."""
    with Watch(product.healthz_seconds) as health:
        await await_replies(person, texts, within=within)
    return health


async def await_replies(person: Person, texts: list[str], *, within: float) -> None:
    """Send messages one after another and wait for each reply."""
    async with open_socket(person, open_timeout=within) as socket:
        for text in texts:
            accepted = await socket.accepted(await socket.message(text), within=within)
            end = await socket.end_of(accepted["turn"]["id"], within=within)
            assert end["type"] == "turn.finished", end


# This message once blocked the event loop for ten seconds.
async def test_repetitive_message_does_not_block_event_loop(product: Product, person: Person) -> None:
    health = await measure_latency(product, person, REPETITIVE[:1], within=60)
    health.check_latency()


async def test_no_message_with_repeated_words_blocks_event_loop(
    product: Product, person: Person, victim: Person
) -> None:
    health = await measure_latency(product, person, REPETITIVE[:12], within=60)
    health.check_latency()
    health = await measure_latency(product, victim, REPETITIVE[12:], within=60)
    health.check_latency()
