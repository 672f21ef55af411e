"""No message is lost and nothing happens twice, whichever servers are killed and sockets cut.

`CHAOS_SEED=<the printed seed>` repeats a plan.
"""

import os
import sys
from pathlib import Path
from random import SystemRandom

import pytest

from chat.tests.chaos import LONG, LONG_OF_TWO, MIDDLE, SHORT, SHORT_OF_TWO, Size, run

pytestmark = pytest.mark.service


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(SHORT, id="short", marks=pytest.mark.long),
        pytest.param(SHORT_OF_TWO, id="short-of-two", marks=pytest.mark.long),
        pytest.param(LONG, id="long", marks=pytest.mark.long),
        pytest.param(LONG_OF_TWO, id="long-of-two", marks=pytest.mark.long),
    ],
)
async def test_every_message_is_answered_once_despite_kills_and_restarts(
    size: Size, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(1_000_000))
    with capsys.disabled():
        sys.stdout.write(f"\nchaos: seed {seed}, {size}\n")
    figures = await run(seed, size, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"chaos: {figures}\n")
    # Now and then, the kills hit a turn three times at the same response, and the server gives it up.
    assert figures.given_up <= size.messages // 50
    assert (figures.messages, figures.kills) == (size.messages, size.kills)
    assert (figures.postgres_restarts, figures.sockets_cut) == (size.restarts, size.cuts)
    assert figures.redis_kills == size.redis_kills


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_malformed_model_responses_lose_no_message(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = await run(seed, MIDDLE, tmp_path, malformed_one_in=10)
    with capsys.disabled():
        sys.stdout.write(f"\nchaos: {figures}\n")
    assert figures.given_up <= MIDDLE.messages // 50
    assert figures.malformed_answers > 0
    assert (figures.messages, figures.kills) == (MIDDLE.messages, MIDDLE.kills)
