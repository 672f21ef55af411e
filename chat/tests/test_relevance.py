"""The cheap rules: sure of what has nothing to do with tasks, and careful with everything else."""

import pytest

from chat.assistant.relevance import judge

ASKED = [{"role": "assistant", "content": [{"type": "output_text", "text": "Which one do you mean?"}]}]
TOLD = [{"role": "assistant", "content": "Added 3 Buy milk."}]


@pytest.mark.parametrize(
    "text",
    [
        "write me a poem", "What's the capital of France?", "tell me a joke", "what is 12 * 17?",
        "who won the world cup in 2014?", "write a python function that reverses a list",
        "what's the weather in Berlin", "can you write an email to my boss?",
    ],
)  # fmt: skip
def test_what_is_plainly_something_else_is_irrelevant(text: str) -> None:
    assert judge(text, []) == "irrelevant"


@pytest.mark.parametrize(
    "text",
    [
        "remind me to write a poem", "add task: look up the capital of France", "what is due tomorrow?", "thanks!",
        "hello", "yes", "I need milk", "what was the first thing I asked?",
    ],
)  # fmt: skip
def test_what_is_about_tasks_or_courtesy_is_relevant(text: str) -> None:
    assert judge(text, []) == "relevant"


def test_an_answer_to_a_question_passes() -> None:
    assert judge("the oat one", ASKED) == "relevant"
    assert judge("the oat one", TOLD) == "unsure"


def test_a_question_does_not_let_everything_pass() -> None:
    assert judge("who is the president of the USA?", ASKED) == "irrelevant"
