"""Functions that ask people: called again from the beginning, they go on behind the question."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runyard_worker.asking import Asking, QuestionAsked
from runyard_worker.errors import ToolError


def attempts(function: Callable[[Asking], Any], *answers: Any) -> tuple[Any, list[str]]:
    """What a function returns once every question is answered, and what it asked."""
    questions = []
    asking = Asking()
    for answer in answers:
        with pytest.raises(QuestionAsked) as caught:
            function(asking)
        questions.append(caught.value.question)
        asking = Asking(caught.value.sealed_state, json.dumps(answer))
    return function(asking), questions


def test_each_question_is_asked_once_and_the_answers_stay() -> None:
    # given a function with two questions, one of them only after a certain answer
    def order(asking: Asking) -> tuple[Any, Any]:
        many = asking.ask("how many?")
        return many, asking.ask("really?") if many > 10 else None

    # when it is answered
    few, one = attempts(order, 3)
    lots, two = attempts(order, 30, {"sure": True})

    # then it goes on behind each question
    assert (few, one) == ((3, None), ["how many?"])
    assert (lots, two) == ((30, {"sure": True}), ["how many?", "really?"])


def test_a_question_that_is_asked_again_gets_its_answers_in_their_order() -> None:
    # given a function that asks the same thing until it hears "stop"
    def listen(asking: Asking) -> list[Any]:
        heard = []
        while not heard or heard[-1] != "stop":
            heard.append(asking.ask("and?"))
        return heard

    # when it is answered three times
    heard, questions = attempts(listen, "a", "b", "stop")

    # then it has all, each once
    assert heard == ["a", "b", "stop"]
    assert questions == ["and?"] * 3


def test_an_answer_of_null_is_an_answer() -> None:
    assert attempts(lambda asking: asking.ask("what?"), None) == (None, ["what?"])


def test_what_is_kept_is_there_in_the_next_attempt() -> None:
    # given a function that notes what it has done before it asks
    done = []

    def pay(asking: Asking) -> str:
        if "hold" not in asking.kept:
            done.append("hold")
            asking.kept["hold"] = {"id": 17}
        said = asking.ask("pay?")
        return f"{asking.kept['hold']['id']}: {said}"

    # when it is answered
    result, _ = attempts(pay, "yes")

    # then that was done once
    assert (result, done) == ("17: yes", ["hold"])


def test_what_came_with_an_approval_is_no_answer() -> None:
    # given a call whose approval handed something over
    asking = Asking(b"", '{"limit": 5}')

    # then the tool has it, and its question is asked all the same
    assert asking.passed == {"limit": 5}
    with pytest.raises(QuestionAsked):
        asking.ask("how much?")
    assert Asking().passed is None


@pytest.mark.parametrize("question", ["", "x" * 4097])
def test_a_question_that_run_control_would_refuse_fails_the_call(question: str) -> None:
    with pytest.raises(ToolError) as caught:
        Asking().ask(question)
    assert caught.value.code == "BAD_QUESTION"


def test_a_tool_that_keeps_too_much_fails_the_call() -> None:
    # given a tool that keeps 64 KiB
    asking = Asking()
    asking.kept["all"] = "x" * 65_536

    # when it asks
    with pytest.raises(ToolError) as caught:
        asking.ask("how much?")

    # then it fails, and says how much it may keep
    assert caught.value.code == "TOO_MUCH_KEPT"
    assert "65536" in str(caught.value)


@pytest.mark.parametrize("state", [b"half done", b"[]", b"{}", b'{"kept": 1, "said": []}'])
def test_a_state_of_another_library_fails_the_call(state: bytes) -> None:
    with pytest.raises(ToolError) as caught:
        Asking(state, '"yes"')
    assert caught.value.code == "FOREIGN_STATE"
