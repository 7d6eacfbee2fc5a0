from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.content.model import Message, Role, Text, ToolCall, ToolResult
from services.router.core.script import (
    Fault,
    FaultKind,
    Reply,
    Script,
    ScriptedCall,
    Step,
    outcome_of,
    words,
)
from tests.unit.router.builders import user

HELLO = Reply("hello")
CALLED = Message(Role.ASSISTANT, (ToolCall("call_1", "look", "{}"),))


def results(*contents: str) -> Message:
    parts = tuple(ToolResult(f"call_{n}", content) for n, content in enumerate(contents))
    return Message(Role.TOOL, parts)


def test_without_a_step_the_newest_user_text_is_echoed() -> None:
    # given
    messages = [user("first"), user("second"), Message(Role.ASSISTANT, (Text("mine"),))]

    # when, then
    assert outcome_of(Script(), messages, "m") == Reply("second")
    assert outcome_of(Script(), [Message(Role.SYSTEM, (Text("be nice"),))], "m") == Reply("")
    assert outcome_of(Script(), [], "m") == Reply("")


def test_the_first_step_that_matches_answers() -> None:
    # given
    script = Script(
        (
            Step(Reply("number"), re.compile(r"\d")),
            Step(Reply("letter"), re.compile(r"[a-z]")),
            Step(HELLO),
        )
    )

    # when, then
    assert outcome_of(script, [user("a1")], "m") == Reply("number")
    assert outcome_of(script, [user("a")], "m") == Reply("letter")
    assert outcome_of(script, [user("?")], "m") == HELLO


def test_a_step_for_another_upstream_model_is_skipped() -> None:
    # given
    script = Script((Step(HELLO, upstream_model="big"),))

    # when, then
    assert outcome_of(script, [user("x")], "big") == HELLO
    assert outcome_of(script, [user("x")], "small") == Reply("x")


def test_tool_results_are_counted_from_the_newest_user_message() -> None:
    # given a first round with one result, then a new question with two
    script = Script((Step(Reply("two"), tool_results=2), Step(Reply("none"), tool_results=0)))
    messages = [user("a"), CALLED, results("1"), user("b"), CALLED, results("2", "3")]

    # when, then
    assert outcome_of(script, messages, "m") == Reply("two")
    assert outcome_of(script, messages[:4], "m") == Reply("none")
    assert outcome_of(script, messages[:3], "m") == Reply("a")


def test_the_text_of_tool_results_is_searched_too() -> None:
    # given
    script = Script((Step(HELLO, re.compile("^sunny$", re.MULTILINE)),))

    # when, then
    assert outcome_of(script, [user("a"), CALLED, results("dark", "sunny")], "m") == HELLO


def test_named_groups_are_substituted_in_the_outcome() -> None:
    # given
    reply = Reply(
        "for ${who}, ${unknown}", (ScriptedCall("ask_${who}", '{"to": "${who}"}'),), "of ${who}"
    )
    script = Script((Step(reply, re.compile(r"tell (?P<who>\w+)(?P<rest>!)?")),))

    # when
    outcome = outcome_of(script, [user("tell bob")], "m")

    # then
    call = ScriptedCall("ask_bob", '{"to": "bob"}')
    assert outcome == Reply("for bob, ${unknown}", (call,), "of bob")


@given(st.text())
def test_substituted_json_stays_valid(said: str) -> None:
    # given a step that repeats everything inside a JSON string
    call = ScriptedCall("note", '{"said": "${said}"}')
    script = Script((Step(Reply(tool_calls=(call,)), re.compile(r"(?P<said>(?s:.*))")),))

    # when
    outcome = outcome_of(script, [user(said)], "m")

    # then
    assert isinstance(outcome, Reply)
    assert json.loads(outcome.tool_calls[0].arguments_json) == {"said": said}


def test_groups_are_substituted_in_the_text_of_a_fault() -> None:
    # given
    fault = Fault(FaultKind.CUT, after_deltas=2, text="dear ${who}")
    script = Script((Step(fault, re.compile("(?P<who>bob)")),))

    # when, then
    expected = Fault(FaultKind.CUT, after_deltas=2, text="dear bob")
    assert outcome_of(script, [user("bob")], "m") == expected


def test_an_outcome_without_groups_is_unchanged() -> None:
    # given
    script = Script((Step(Reply("${who}"), re.compile("bob")),))

    # when, then
    assert outcome_of(script, [user("bob")], "m") == Reply("${who}")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("one", ["one"]),
        ("one two", ["one", " two"]),
        ("  a\n b ", ["  a", "\n b", " "]),
    ],
)
def test_words_begin_with_the_space_before_them(text: str, pieces: list[str]) -> None:
    assert words(text) == pieces


@given(st.text())
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(words(text)) == text
