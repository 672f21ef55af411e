"""A ChatKit front end of the owner, and the runner that answers it."""

import uuid

import pytest
from agents.testing import ScriptedModel

from chat.models import User
from chat.tests.chatkit.front_end import FrontEnd, front_end
from chat.tests.conftest import Chat, StartRunner
from chat.turns import process


@pytest.fixture
async def chat(start_runner: StartRunner, script: ScriptedModel, owner: User, monkeypatch: pytest.MonkeyPatch) -> Chat:
    """A new chat of the owner, and the runner of this process."""
    runner = await start_runner(script)
    monkeypatch.setattr(process, "_runner", runner)
    return Chat(runner, owner, uuid.uuid4())


@pytest.fixture
async def kit(chat: Chat) -> FrontEnd:
    """The ChatKit front end of the owner."""
    return await front_end(chat.user)
