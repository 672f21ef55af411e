"""The guardrail's rules are certain only about texts that have clearly nothing to do with tasks."""

import pytest

from chat.assistant.relevance import judge

QUESTION = [{"role": "assistant", "content": [{"type": "output_text", "text": "Which one do you mean?"}]}]
STATEMENT = [{"role": "assistant", "content": "Added 3 Buy milk."}]


@pytest.mark.parametrize(
    "text",
    [
        "write me a poem", "What's the capital of France?", "tell me a joke", "what is 12 * 17?",
        "who won the world cup in 2014?", "write a python function that reverses a list",
        "what's the weather in Berlin", "can you write an email to my boss?",
    ],
)  # fmt: skip
def test_unrelated_text_is_irrelevant(text: str) -> None:
    assert judge(text, []) == "irrelevant"


@pytest.mark.parametrize(
    "text",
    [
        "remind me to write a poem", "add task: look up the capital of France", "what is due tomorrow?", "thanks!",
        "hello", "yes", "I need milk", "what was the first thing I asked?",
    ],
)  # fmt: skip
def test_text_about_tasks_and_courtesy_is_relevant(text: str) -> None:
    assert judge(text, []) == "relevant"


def test_short_answer_to_a_question_is_relevant() -> None:
    assert judge("the oat one", QUESTION) == "relevant"
    assert judge("the oat one", STATEMENT) == "unsure"


def test_unrelated_text_after_a_question_is_irrelevant() -> None:
    assert judge("who is the president of the USA?", QUESTION) == "irrelevant"
