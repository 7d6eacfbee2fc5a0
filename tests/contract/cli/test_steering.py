"""`cancel`, `interrupt` and `inject` as processes: what they ask for, what they print."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import Message

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from runyard.runcontrol.v1 import runcontrol_service_pb2_grpc as rpc
from tests.contract.cli.process import runyard
from tests.contract.cli.scripted import served
from tests.support import clients as s

pytestmark = pytest.mark.slow


class Steered(rpc.RunControlServiceServicer):
    """Keeps what it is asked, and answers what a test has set."""

    def __init__(self, answer: Message) -> None:
        self.asked: list[Any] = []
        self.answer = answer

    async def _answer(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return self.answer

    CancelRun = InterruptThread = InjectInput = _answer
    EditInput = RetractInput = ListPendingInputs = _answer


async def steer(answer: Message, *arguments: str, text: str = "") -> tuple[Any, Any]:
    """The outcome of a command, and the request that it made; None when it made none."""
    scripted = Steered(answer)
    async with served(rpc.add_RunControlServiceServicer_to_server, scripted) as address:
        at = {"RUNYARD_ENDPOINTS": f"runcontrol={address}"}
        outcome = await runyard(*arguments, text=text, **at)
    return outcome, scripted.asked[0] if scripted.asked else None


def injected(disposition: pb.InputDisposition, *blocked_by: str) -> service_pb.InjectInputResponse:
    said = pb.Input(input_id="i1", run_id="r1")
    return service_pb.InjectInputResponse(
        input=said, disposition=disposition, blocked_by_ids=blocked_by
    )


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (["r1"], {"run_id": "r1"}),
        (["--thread", "t1"], {"thread_id": "t1"}),
        (["--dispatch", "d1"], {"dispatch_id": "d1"}),
    ],
)
async def test_a_run_is_cancelled_by_each_of_its_names(
    arguments: list[str], target: dict[str, str]
) -> None:
    # given a run that executes
    cancelling = service_pb.CANCEL_OUTCOME_CANCELLING
    answer = service_pb.CancelRunResponse(outcome=cancelling, run=pb.Run(run_id="r1"))

    # when it is cancelled
    outcome, request = await steer(answer, "cancel", *arguments, "--reason", "enough")

    # then the request names it so, and the outcome is told
    assert request == service_pb.CancelRunRequest(reason="enough", **target)
    assert (outcome.code, outcome.out) == (0, "run r1: cancelling\n")


async def test_a_thread_without_work_has_nothing_to_cancel() -> None:
    nothing = service_pb.CancelRunResponse(outcome=service_pb.CANCEL_OUTCOME_NOTHING_ACTIVE)
    outcome, _ = await steer(nothing, "cancel", "--thread", "t1")
    assert (outcome.code, outcome.out) == (0, "nothing active\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["cancel"],
        ["cancel", "r1", "--thread", "t1"],
        ["interrupt", "t1", "--agent", "a1"],
        ["inject", "thread", "t1"],
        ["inject", "run", "r1", "hi", "--mode", "shout"],
        ["inject", "edit", "i1", "hi", "--revision", "0"],
    ],
)
async def test_wrong_use_asks_for_nothing(arguments: list[str]) -> None:
    outcome, request = await steer(pb.Run(), *arguments)
    assert (outcome.code, request) == (2, None)


async def test_a_thread_is_interrupted_with_something_new() -> None:
    # given a thread with a run and two behind it
    answer = service_pb.InterruptThreadResponse(
        epoch=2, interrupted_run_id="r1", superseded_count=2, new_run_id="r4"
    )

    # when it is interrupted, with a text of standard input
    arguments = ("interrupt", "t1", "-", "--agent", "a1", "--min-version", "3")
    outcome, request = await steer(answer, *arguments, text="start over")

    # then the new run is named, and how to follow it
    assert request.request_id
    request.ClearField("request_id")
    assert request == service_pb.InterruptThreadRequest(
        thread_id="t1",
        messages=[s.user_message("start over")],
        agent_id="a1",
        min_registry_version=3,
    )
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "stopped: run r1 and 2 queued",
        "run r4 is queued",
        "  runyard watch run r4",
    ]


async def test_an_interrupt_of_an_idle_thread_stops_nothing() -> None:
    outcome, request = await steer(service_pb.InterruptThreadResponse(epoch=2), "interrupt", "t1")
    assert (outcome.code, outcome.out) == (0, "stopped: nothing was under way\n")
    assert list(request.messages) == []


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("queue", pb.INJECT_MODE_QUEUE),
        ("interrupt", pb.INJECT_MODE_INTERRUPT_THEN_QUEUE),
        ("resume", pb.INJECT_MODE_RESUME_OPEN_RUN),
        ("live", pb.INJECT_MODE_LIVE_THEN_QUEUE),
    ],
)
async def test_something_is_said_to_a_thread_in_each_mode(
    mode: str, expected: pb.InjectMode
) -> None:
    # when something is said
    arguments = ("inject", "thread", "t1", "hi", "--mode", mode, "--agent", "a1")
    outcome, request = await steer(injected(pb.INPUT_DISPOSITION_QUEUED), *arguments)

    # then the mode is that of the contract
    assert (request.thread_id, request.agent_id, request.mode) == ("t1", "a1", expected)
    assert list(request.messages) == [s.user_message("hi")]
    assert (outcome.code, outcome.out) == (0, "input i1: run r1 is queued for it\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (injected(pb.INPUT_DISPOSITION_RESUMED), "run r1 continues with it"),
        (injected(pb.INPUT_DISPOSITION_LIVE), "run r1 reads it at its next step"),
        (
            injected(pb.INPUT_DISPOSITION_BLOCKED_BY_TICKETS, "t-1", "t-2"),
            "run r1 reads it once it is decided about t-1, t-2",
        ),
        (
            injected(pb.INPUT_DISPOSITION_BLOCKED_BY_CALLS, "r1.1.0"),
            "run r1 reads it once it has the results of r1.1.0",
        ),
    ],
)
async def test_the_answer_says_who_reads_it(
    answer: service_pb.InjectInputResponse, words: str
) -> None:
    outcome, request = await steer(answer, "inject", "run", "r1", "hi", "--void-tickets")
    assert (request.run_id, request.void_tickets) == ("r1", True)
    assert words in outcome.out


async def test_what_nobody_has_read_is_listed() -> None:
    # given a thread with an input that can be shown, and one that is too large
    shown = pb.Input(
        input_id="i1", run_id="r1", revision=2, messages=[s.user_message("hello there")]
    )
    large = pb.Input(input_id="i2", run_id="r1", revision=1, messages_left_out=True)
    answer = service_pb.ListPendingInputsResponse(inputs=[shown, large])

    # when they are listed, for people and for programs
    outcome, request = await steer(answer, "inject", "list", "t1")
    as_json, _ = await steer(answer, "inject", "list", "t1", "-o", "json")
    nothing, _ = await steer(service_pb.ListPendingInputsResponse(), "inject", "list", "t1")

    # then each is there with its revision
    assert request.thread_id == "t1"
    assert "i1  revision 2  for run r1" in outcome.out
    assert "  hello there" in outcome.out
    assert "too large to be shown" in outcome.out
    assert [each["input_id"] for each in json.loads(as_json.out)["inputs"]] == ["i1", "i2"]
    assert nothing.out == "everything has been read\n"


async def test_an_input_is_edited_and_taken_back() -> None:
    # when an input is edited, and another one is taken back
    edited = service_pb.EditInputResponse(input=pb.Input(input_id="i1", revision=3))
    edit, changed = await steer(edited, "inject", "edit", "i1", "better", "--revision", "2")
    gone = service_pb.RetractInputResponse(input=pb.Input(input_id="i2"))
    retract, taken_back = await steer(gone, "inject", "retract", "i2")

    # then the requests name the revisions
    assert (changed.input_id, changed.revision) == ("i1", 2)
    assert list(changed.messages) == [s.user_message("better")]
    assert (taken_back.input_id, taken_back.revision) == ("i2", 1)
    assert edit.out == "input i1 is at revision 3\n"
    assert retract.out == "input i2 is taken back\n"
