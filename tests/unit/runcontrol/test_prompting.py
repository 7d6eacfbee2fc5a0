"""Prompts: whatever the record of a thread holds, a strict provider answers them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.content.model import (
    MAX_PARTS,
    MAX_TEXT_BYTES,
    FinishReason,
    Image,
    Message,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from services.router.clients.anthropic_messages import turns
from services.router.clients.openai_call_ids import SentCallIds
from services.router.clients.openai_messages import encoded
from services.runcontrol.core import arguments
from services.runcontrol.core.commands import CommandResult
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.inference import model_call_for
from services.runcontrol.core.model import MessageOrigin, RunState, StoredMessage, TerminationReason
from services.runcontrol.core.prompting import (
    AFTER_RESULTS,
    NO_OUTPUT,
    NO_RESULT,
    TO_GO_ON,
    prompt,
)
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.stepping import Infer, ModelAnswer, Next
from tests.support.clock import START
from tests.support.strict_provider import faults
from tests.unit.runcontrol.in_memory_runcontrol import TOOLS, InMemoryRunControl, now

REFUSED = Failure(RetryClass.FATAL, "UPSTREAM_INVALID_REQUEST", "the provider refuses the input")
BROKEN_ARGUMENTS = (
    *("", " ", "{", "[]", "null", '"x"', "NaN", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}'),
    '{"a": ' + "9" * 5_000 + "}",
    "[" * 100_000,
    '{"a":' * 90 + "1" + "}" * 90,
    '{"body": "hi", "pool_id": "room"}',
    "{}",
)
CALL_IDS = ("", "c", "c", "c_1", "\x00", "x" * 600)


def said(
    origin: MessageOrigin, role: Role, *parts: Part, run_id: str = "now"
) -> tuple[str, MessageOrigin, Message]:
    return run_id, origin, Message(role, parts)


def asked(text: str, run_id: str = "now") -> tuple[str, MessageOrigin, Message]:
    return said(MessageOrigin.INPUT, Role.USER, Text(text), run_id=run_id)


def answered(*parts: Part, run_id: str = "now") -> tuple[str, MessageOrigin, Message]:
    return said(MessageOrigin.MODEL, Role.ASSISTANT, *parts, run_id=run_id)


def resulted(*results: ToolResult, run_id: str = "now") -> tuple[str, MessageOrigin, Message]:
    return said(MessageOrigin.TOOL, Role.TOOL, *results, run_id=run_id)


def record_of(*entries: tuple[str, MessageOrigin, Message]) -> list[StoredMessage]:
    return [
        StoredMessage(seq, run_id, origin, message, START)
        for seq, (run_id, origin, message) in enumerate(entries, start=1)
    ]


def shown(*entries: tuple[str, MessageOrigin, Message], system: str = "") -> list[Message]:
    return list(prompt(record_of(*entries), "now", system))


def call(call_id: str, arguments: str = "{}", tool_id: str = "tool") -> ToolCall:
    return ToolCall(call_id, tool_id, arguments)


def refusals(messages: Sequence[Message]) -> list[str]:
    """What a strict provider of chat completions has against a prompt."""
    ids = SentCallIds("http://localhost/v1", "model")
    return faults({"messages": encoded(messages, "provider", ids)})


calls = st.builds(
    ToolCall,
    st.sampled_from(CALL_IDS),
    st.sampled_from([*(tool.tool_id for tool in TOOLS), "", "made up", "\x07", "t" * 600]),
    st.sampled_from(BROKEN_ARGUMENTS),
)
answers = st.builds(
    lambda thoughts, text, asked_for: Message(
        Role.ASSISTANT, (*thoughts, *([Text(text)] if text or not asked_for else []), *asked_for)
    ),
    st.lists(st.builds(Reasoning, st.sampled_from(["", "hm"])), max_size=2),
    st.sampled_from(["", " \n", "a remark"]),
    st.lists(calls, max_size=4),
)
runs = st.lists(st.tuples(st.lists(answers, max_size=3), st.booleans()), max_size=4)


class Thread:
    """A thread whose runs are driven one after the other."""

    def __init__(self) -> None:
        self.system = InMemoryRunControl()
        self.thread_id = ""

    def begin(self, text: str) -> tuple[Claim, Next]:
        submitted = self.system.submit(text=text, thread_id=self.thread_id)
        self.thread_id = submitted.thread_id
        claimed = self.system.claim_one()
        return claimed, self.system.advance(claimed)

    def run(self, given_answers: list[Message], *, settles: bool) -> None:
        """Let a model give these answers, and refuse the next request if the run goes on."""
        claimed, following = self.begin("go")
        for message in given_answers:
            if not isinstance(following, Infer):
                break
            claimed, following = self._answer(claimed, message, settles=settles)
        if self.system.run().state is RunState.RUNNING:
            now(self.system.execution.fail(claimed, REFUSED))
        elif self.system.run().state is RunState.WAITING:
            self.system.cancel(run_id=self.system.run().run_id)

    def _answer(self, claimed: Claim, message: Message, *, settles: bool) -> tuple[Claim, Next]:
        assert claimed.specs is not None
        refused = arguments.refusals(message.tool_calls, claimed.specs, 128)
        answer = ModelAnswer(message, FinishReason.STOP, Usage(1, 1), refusals=refused)
        following = now(
            self.system.execution.commit_answer(claimed, claimed.specs, answer, "trace")
        )
        sent = [effect.command for effect in self.system.tables.outbox]
        if not settles or self.system.run().state is not RunState.WAITING or not sent:
            return claimed, following
        for command in sent:
            self.system.settle(command, CommandResult(""))
        again = self.system.claim()
        return (again[0], self.system.advance(again[0])) if again else (claimed, following)


@given(runs)
def test_a_plain_hello_is_answered_after_anything_that_a_provider_can_answer(
    earlier: list[tuple[list[Message], bool]],
) -> None:
    # given a thread whose runs got any answers at all, and ended in any way
    thread = Thread()
    for given_answers, settles in earlier:
        thread.run(given_answers, settles=settles)

    # when a run says hello
    claimed, following = thread.begin("hello")
    assert claimed.specs is not None
    record = thread.system.record()
    messages = model_call_for(claimed.run, claimed.specs, record).messages

    # then its prompt is one that a strict provider answers, in both dialects, and ends with hello
    assert isinstance(following, Infer)
    assert refusals(messages) == []
    merged = turns(messages, "provider")
    assert [turn["role"] for turn in merged] == ["user", "assistant"] * (len(merged) // 2) + [
        "user"
    ]
    assert messages[-1].text.endswith("hello")


def test_a_legal_record_is_sent_as_it_is() -> None:
    # given a thread with a call, its result, an answer and a new input
    entries = (
        asked("go", "old"),
        answered(Reasoning("hm"), Text("I look"), call("c"), run_id="old"),
        resulted(ToolResult("c", "found"), run_id="old"),
        answered(Text("here"), run_id="old"),
        asked("more"),
    )

    # when its prompt is made
    messages = shown(*entries, system="be brief")

    # then it has the instructions and the messages themselves
    assert messages[0] == Message(Role.SYSTEM, (Text("be brief"),))
    assert all(m is e[2] for m, e in zip(messages[1:], entries, strict=True))


def test_the_input_that_an_ended_run_left_unanswered_is_left_out() -> None:
    # given a run that was refused after a call, one that got an empty answer, and the present one
    messages = shown(
        asked("first", "a"),
        answered(call("c"), run_id="a"),
        resulted(ToolResult("c", "ok"), run_id="a"),
        said(MessageOrigin.POOL, Role.USER, Text("from the pool"), run_id="a"),
        asked("refused", "b"),
        answered(Text(" "), run_id="b"),
        asked("hello"),
    )

    # then what no answer followed is not sent
    assert [m.text for m in messages if m.role is Role.USER] == ["first", "hello"]


def test_the_input_of_the_present_run_is_one_turn() -> None:
    # given an input of two messages, the second with a blank text and images
    kept, inline = Image("https://x/y.png"), Image(data=b"1", media_type="image/png")
    pictures = (Text("\n"), kept, Image("http://x/y.png"), inline)
    messages = shown(asked("look"), said(MessageOrigin.INPUT, Role.USER, *pictures))

    # then they are one turn, without what a provider refuses
    assert messages == [Message(Role.USER, (Text("look"), kept, inline))]


def test_turns_of_more_parts_than_a_message_may_have_stay_apart() -> None:
    # given two inputs of together one part too many
    many = said(MessageOrigin.INPUT, Role.USER, *[Text("x")] * MAX_PARTS)
    # then neither loses a part
    assert [len(m.parts) for m in shown(many, asked("y"))] == [MAX_PARTS, 1]


def test_system_messages_of_inputs_are_joined_to_the_instructions() -> None:
    # given an input with a system message
    rule = said(MessageOrigin.INPUT, Role.SYSTEM, Text("in verse"))

    # then there is one system message, the first; alone it asks the model to go on
    assert shown(asked("hi"), rule, system="be brief") == [
        Message(Role.SYSTEM, (Text("be brief"), Text("in verse"))),
        Message(Role.USER, (Text("hi"),)),
    ]
    assert shown(rule)[1:] == [Message(Role.USER, (Text(TO_GO_ON),))]


def test_answers_alternate_with_turns_of_the_user() -> None:
    # given an answer before any turn, two in a row, and nothing new to answer
    messages = shown(answered(Text("one")), answered(Text("two")))

    # then the user asks to go on between and after them, and in place of a blank
    assert shown(asked(" ")) == [Message(Role.USER, (Text(TO_GO_ON),))]
    assert [m.text for m in messages] == [TO_GO_ON, "one", TO_GO_ON, "two", TO_GO_ON]


def test_the_model_speaks_after_results() -> None:
    # given a message of the pool after the result of the wait for it
    messages = shown(
        asked("wait"),
        answered(call("c")),
        resulted(ToolResult("c", "{}")),
        said(MessageOrigin.POOL, Role.USER, Text("news")),
    )

    # then a turn of the model stands between them
    assert [m.role for m in messages[2:]] == [Role.TOOL, Role.ASSISTANT, Role.USER]
    assert messages[3].text == AFTER_RESULTS


def test_every_call_has_an_id_of_its_own_and_one_result() -> None:
    # given two calls with one id, one without a result, one without an id, and a result of no call
    messages = shown(
        asked("go"),
        answered(call("c"), call("c"), call("d"), call("")),
        resulted(ToolResult("c", "1"), ToolResult("c", "2"), ToolResult("x", "9")),
        answered(call("c", tool_id="")),
        resulted(ToolResult("c", " ", is_error=True)),
        resulted(ToolResult("c", "again")),
    )

    # then ids are unique, and results stand in the order of their calls
    first, second = (m.tool_calls for m in messages if m.role is Role.ASSISTANT)
    assert [each.call_id for each in (*first, *second)] == ["c", "c_2", "d", "call", "c_5"]
    assert second[0].tool_id == "unknown_tool"
    assert messages[2].parts == (
        ToolResult("c", "1"),
        ToolResult("c_2", "2"),
        ToolResult("d", NO_RESULT, is_error=True),
        ToolResult("call", NO_RESULT, is_error=True),
    )
    assert messages[-1].parts == (ToolResult("c_5", NO_OUTPUT, is_error=True),)


@pytest.mark.parametrize("follows", [asked("more"), answered(Text("so"))])
def test_calls_without_results_get_some_before_anything_follows(
    follows: tuple[str, MessageOrigin, Message],
) -> None:
    # given calls that something other than results follows
    messages = shown(asked("go"), answered(call("c")), follows)

    # then their results say that none is recorded
    assert messages[2] == Message(Role.TOOL, (ToolResult("c", NO_RESULT, is_error=True),))


@pytest.mark.parametrize("arguments", BROKEN_ARGUMENTS[2:13])
def test_arguments_that_are_no_object_are_shown_in_one(arguments: str) -> None:
    # given
    messages = shown(asked("go"), answered(call("c", arguments)))
    sent = messages[1].tool_calls[0].arguments_json

    # then
    assert json.loads(sent) == {"invalid_arguments": arguments[:1_000]}


@pytest.mark.parametrize("arguments", ["", " "])
def test_missing_arguments_are_an_empty_object(arguments: str) -> None:
    # given a call whose model left its arguments out
    messages = shown(asked("go"), answered(call("c", arguments)))

    # then
    assert messages[1].tool_calls[0].arguments_json == "{}"


def test_what_is_larger_than_the_router_takes_is_cut() -> None:
    # given a text of 4 MiB and a bit in two bytes per character, and more calls than fit
    long = "é" * (MAX_TEXT_BYTES // 2 + 1)
    messages = shown(
        asked(long),
        answered(*[Reasoning("hm")] * 600, Text("x"), *map(call, map(str, range(600)))),
    )

    # then the text has 4 MiB, and the answer 1,024 parts
    assert messages[0].text == "é" * (MAX_TEXT_BYTES // 2)
    kept = messages[1]
    assert (len(kept.parts), kept.text, len(kept.tool_calls)) == (MAX_PARTS, "x", 511)
    assert len(messages[2].parts) == 511


def test_reasoning_without_a_text_is_kept_for_its_state_alone() -> None:
    # given
    sealed = Reasoning("", "p", b"seal")
    messages = shown(asked("go"), answered(Reasoning(""), sealed, Text("x")), asked("more"))

    # then
    assert messages[1].parts == (sealed, Text("x"))


@pytest.mark.parametrize(
    ("parts", "earlier", "reason", "output"),
    [
        ((Text(""),), (), TerminationReason.NO_ANSWER, ""),
        ((Reasoning("hm"), Text(" ")), (), TerminationReason.NO_ANSWER, ""),
        ((Text(""),), (Text("I look"), call("c")), TerminationReason.NO_ANSWER, ""),
        ((Text("here"),), (Text("I look"), call("c")), TerminationReason.NATURAL_END, "here"),
    ],
)
def test_a_run_without_an_answer_says_so(
    parts: tuple[Part, ...], earlier: tuple[Part, ...], reason: TerminationReason, output: str
) -> None:
    # given a run whose model has made a remark, or nothing
    thread = Thread()
    steps = [Message(Role.ASSISTANT, each) for each in (earlier, parts) if each]

    # when its model ends its answer
    thread.run(steps, settles=False)

    # then the reason is one of its own, and the output is not a remark of an earlier step
    ended = thread.system.termination()
    assert (ended.reason, thread.system.run().output_text) == (reason, output)
    if reason is TerminationReason.NO_ANSWER:
        assert ended.message == "the model ended its answer without a text or a call: stop"


def test_a_remark_is_the_output_of_a_run_that_may_call_no_more() -> None:
    # given a run that is limited to two rounds
    system = InMemoryRunControl()
    claimed = system.claim_new(max_rounds=2)
    system.advance(claimed)
    assert claimed.specs is not None

    # when its model makes a remark, and then calls alone
    for parts in ((Text("I look"), call("c")), (call("d"),)):
        message = Message(Role.ASSISTANT, parts)
        refused = arguments.refusals(message.tool_calls, claimed.specs, 128)
        answer = ModelAnswer(message, FinishReason.TOOL_CALLS, Usage(1, 1), refusals=refused)
        now(system.execution.commit_answer(claimed, claimed.specs, answer, "trace"))

    # then the remark is its last partial answer
    assert system.termination().reason is TerminationReason.MAX_ROUNDS
    assert system.run().output_text == "I look"
