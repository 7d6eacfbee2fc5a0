"""Requests become commands; every violation of a request is found at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message as PbMessage

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.errors import UnimplementedError
from services.chassis.ids import id_violations
from services.chassis.protobuf.cursors import Cursors
from services.chassis.protobuf.decoder import Decoder
from services.chassis.protobuf.pages import page_position
from services.content.convert import messages_from_pb
from services.content.model import Message
from services.runcontrol.api import enums
from services.runcontrol.core.deciding import DecideCommand
from services.runcontrol.core.exchange import TicketState, Verdict, VerdictKind
from services.runcontrol.core.gating import is_json
from services.runcontrol.core.injecting import InjectCommand
from services.runcontrol.core.limits import (
    MAX_ANSWER_BYTES,
    MAX_DEADLINE_S,
    MAX_LABELS,
    MAX_TEXT_CHARS,
    MAX_TOPICS,
    page_size,
)
from services.runcontrol.core.model import InputMode, PoolMembership, Priority
from services.runcontrol.core.ports import TicketFilter
from services.runcontrol.core.runcontrol import CancelCommand
from services.runcontrol.core.steering import InputFilter, InterruptCommand, ReviseCommand
from services.runcontrol.core.submission import (
    BusyPolicy,
    SubmitCommand,
    said_violations,
    submit_violations,
)

RUN_CURSORS = Cursors("run")
THREAD_CURSORS = Cursors("thread")
TICKET_CURSORS = Cursors("stream of tickets")
# Of the integers that a database stores.
MAX_SEQ = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def submit_from_pb(request: service.SubmitRunRequest) -> SubmitCommand:
    """Decode a submission.

    Raises:
        InvalidRequestError: Lists every violation.
        UnimplementedError: It uses an option that this version does not serve.
    """
    decoder = Decoder()
    command = SubmitCommand(
        messages=_messages(request, decoder),
        thread_id=decoder.optional_id(request.thread_id, "thread_id"),
        agent_id=decoder.optional_id(request.agent_id, "agent_id"),
        busy_policy=decoder.enum(
            enums.BUSY_POLICIES, request.busy_policy, "busy_policy", BusyPolicy.ENQUEUE
        ),
        priority=decoder.enum(enums.PRIORITIES, request.priority, "priority", Priority.NORMAL),
        pool=_pool(request, decoder),
        deadline_s=_deadline_s(request, decoder),
        max_rounds=request.budget.max_rounds,
        max_total_tokens=request.budget.max_total_tokens,
        min_registry_version=request.min_registry_version,
        min_registry_incarnation=decoder.optional_id(
            request.min_registry_incarnation, "min_registry_incarnation"
        ),
        labels=labels_from_pb(request.labels, decoder),
        not_before=decoder.time(request, "not_before_time", ""),
    )
    _check_disconnect(request, decoder)
    decoder.found += submit_violations(command)
    decoder.check()
    return command


def _messages(request: service.SubmitRunRequest, decoder: Decoder) -> tuple[Message, ...]:
    decoder.not_empty(request.messages, "messages")
    return messages_from_pb(request.messages, "messages", decoder)


def _pool(request: service.SubmitRunRequest, decoder: Decoder) -> PoolMembership | None:
    if not request.HasField("pool"):
        return None
    topics = decoder.each(request.pool.topics, "pool.topics", MAX_TOPICS, decoder.id)
    return PoolMembership(decoder.id(request.pool.pool_id, "pool.pool_id"), tuple(topics))


def _deadline_s(request: service.SubmitRunRequest, decoder: Decoder) -> float:
    longest = timedelta(seconds=MAX_DEADLINE_S)
    return min(decoder.duration(request, "deadline", "", longest), longest).total_seconds()


def _check_disconnect(request: service.SubmitRunRequest, decoder: Decoder) -> None:
    known = service.DisconnectPolicy.values()
    if request.on_disconnect not in known:
        decoder.wrong("on_disconnect", f"is not a known value: {int(request.on_disconnect)}")
    elif request.on_disconnect == service.DISCONNECT_POLICY_CANCEL:
        raise UnimplementedError("on_disconnect CANCEL is not served by this version")


def interrupt_from_pb(request: service.InterruptThreadRequest) -> InterruptCommand:
    """Decode an interrupt.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    if request.mode not in service.InterruptMode.values():
        decoder.wrong("mode", f"is not a known value: {int(request.mode)}")
    command = InterruptCommand(
        thread_id=decoder.id(request.thread_id, "thread_id"),
        messages=messages_from_pb(request.messages, "messages", decoder),
        agent_id=decoder.optional_id(request.agent_id, "agent_id"),
        **_min_registry(request, decoder),
    )
    decoder.found += said_violations(command.messages)
    decoder.check()
    return command


def inject_from_pb(request: service.InjectInputRequest) -> InjectCommand:
    """Decode input for a thread or a run.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    target = _id_of_arm(request, "target", decoder)
    if target == "run_id" and request.agent_id:
        decoder.wrong("agent_id", "must be empty with run_id: the run has its own agent")
    command = InjectCommand(
        messages=_said(request, decoder),
        mode=decoder.enum(enums.INPUT_MODES, request.mode, "mode", InputMode.QUEUE),
        thread_id=request.thread_id,
        run_id=request.run_id,
        agent_id=decoder.optional_id(request.agent_id, "agent_id"),
        void_tickets=request.void_tickets,
        **_min_registry(request, decoder),
    )
    decoder.check()
    return command


def edit_from_pb(request: service.EditInputRequest) -> ReviseCommand:
    """Decode a change of pending input.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    command = ReviseCommand(
        input_id=decoder.id(request.input_id, "input_id"),
        revision=decoder.number(request.revision, "revision", least=1),
        messages=_said(request, decoder),
    )
    decoder.check()
    return command


def retract_from_pb(request: service.RetractInputRequest) -> ReviseCommand:
    """Decode the end of pending input.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    command = ReviseCommand(
        input_id=decoder.id(request.input_id, "input_id"),
        revision=decoder.number(request.revision, "revision", least=1),
    )
    decoder.check()
    return command


def input_filter_from_pb(request: service.ListPendingInputsRequest) -> InputFilter:
    """Decode a list of pending inputs.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    wanted = InputFilter(
        thread_id=decoder.id(request.thread_id, "thread_id"),
        limit=page_size(decoder.number(request.page_size, "page_size", least=0)),
        after=page_position(request, _input_at, decoder) or 0,
    )
    decoder.check()
    return wanted


def _min_registry(
    request: service.InterruptThreadRequest | service.InjectInputRequest, decoder: Decoder
) -> dict[str, Any]:
    name = "min_registry_incarnation"
    return {
        "min_registry_version": decoder.number(
            request.min_registry_version, "min_registry_version", least=0
        ),
        name: decoder.optional_id(request.min_registry_incarnation, name),
    }


def _said(
    request: service.InjectInputRequest | service.EditInputRequest, decoder: Decoder
) -> tuple[Message, ...]:
    decoder.not_empty(request.messages, "messages")
    messages = messages_from_pb(request.messages, "messages", decoder)
    decoder.found += said_violations(messages)
    return messages


def _input_at(seq: int) -> int:
    if type(seq) is not int or not 0 < seq <= MAX_SEQ:
        raise ValueError(f"not an input: {seq!r}")
    return seq


def cancel_from_pb(request: service.CancelRunRequest) -> CancelCommand:
    """Decode a cancel.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    _id_of_arm(request, "target", decoder)
    decoder.text(request.reason, "reason", MAX_TEXT_CHARS)
    decoder.check()
    return CancelCommand(
        run_id=request.run_id,
        dispatch_id=request.dispatch_id,
        thread_id=request.thread_id,
        reason=request.reason,
    )


def decision_from_pb(request: service.SubmitDecisionRequest) -> DecideCommand:
    """Decode a decision.

    Raises:
        InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    selector = _id_of_arm(request, "selector", decoder)
    if target := request.WhichOneof("target"):
        decoder.id(getattr(request, target), target)
    elif selector == "tool_call_id":
        decoder.wrong("target", "must be set with tool_call_id")
    command = DecideCommand(
        decision_id=decoder.id(request.decision_id, "decision_id"),
        verdict=_verdict(request.verdict, decoder),
        ticket_id=request.ticket_id,
        call_id=request.tool_call_id,
        run_id=request.run_id,
        thread_id=request.thread_id,
        expected_digest=request.expected_digest,
        comment=decoder.text(request.comment, "comment", MAX_TEXT_CHARS),
    )
    decoder.check()
    return command


def _deny(verdict: pb.Verdict, decoder: Decoder) -> Verdict:
    reason = decoder.text(verdict.deny.reason, "verdict.deny.reason", MAX_TEXT_CHARS)
    return Verdict(VerdictKind.DENY, reason)


def _approve_edited(verdict: pb.Verdict, decoder: Decoder) -> Verdict:
    field, text = "verdict.approve_edited.arguments_json", verdict.approve_edited.arguments_json
    decoder.not_empty(text, field)
    return Verdict(VerdictKind.APPROVE_EDITED, decoder.sized_text(text, field, MAX_ANSWER_BYTES))


def _answer(verdict: pb.Verdict, decoder: Decoder) -> Verdict:
    content = decoder.sized_text(verdict.answer.content, "verdict.answer.content", MAX_ANSWER_BYTES)
    return Verdict(VerdictKind.ANSWER, content)


def _happened(verdict: pb.Verdict, decoder: Decoder) -> Verdict:
    field = "verdict.happened.content"
    content = decoder.sized_text(verdict.happened.content, field, MAX_ANSWER_BYTES)
    return Verdict(VerdictKind.HAPPENED, content)


def _pass_to_tool(verdict: pb.Verdict, decoder: Decoder) -> Verdict:
    field = "verdict.pass_to_tool.payload_json"
    text = decoder.sized_text(verdict.pass_to_tool.payload_json, field, MAX_ANSWER_BYTES)
    if not is_json(text):
        decoder.wrong(field, "is not a JSON value of at most 64 levels")
    return Verdict(VerdictKind.PASS_TO_TOOL, text)


_VERDICTS: Mapping[str, Callable[[pb.Verdict, Decoder], Verdict]] = {
    "approve": lambda *_: Verdict(VerdictKind.APPROVE),
    "approve_edited": _approve_edited,
    "deny": _deny,
    "answer": _answer,
    "pass_to_tool": _pass_to_tool,
    "cancel_call": lambda *_: Verdict(VerdictKind.CANCEL_CALL),
    "cancel_run": lambda *_: Verdict(VerdictKind.CANCEL_RUN),
    "happened": _happened,
    "did_not_happen": lambda *_: Verdict(VerdictKind.DID_NOT_HAPPEN),
    "abandon": lambda *_: Verdict(VerdictKind.ABANDON),
}


def _verdict(verdict: pb.Verdict, decoder: Decoder) -> Verdict:
    arm = decoder.required_arm(verdict, "verdict", "")
    if not arm:
        return Verdict(VerdictKind.DENY)  # beside the violation
    return _VERDICTS[arm](verdict, decoder)


def ticket_filter_from_pb(request: service.ListTicketsRequest) -> TicketFilter:
    """Raises:
    InvalidRequestError: Lists every violation.
    """
    decoder = Decoder()
    states = [
        decoder.required_enum(enums.TICKET_STATES, state, f"states[{index}]")
        for index, state in enumerate(request.states)
    ]
    query = TicketFilter(
        run_id=decoder.optional_id(request.run_id, "run_id"),
        thread_id=decoder.optional_id(request.thread_id, "thread_id"),
        states=frozenset(states) or frozenset({TicketState.OPEN}),
        limit=page_size(decoder.number(request.page_size, "page_size", least=0)),
        after=page_position(request, _ticket_at, decoder) or TicketFilter.BEGINNING,
    )
    decoder.check()
    return query


def _ticket_at(micros: int, ticket_id: str) -> tuple[datetime, str]:
    if type(micros) is not int or id_violations(ticket_id, "page_token"):
        raise ValueError(f"not a ticket: {micros!r}")
    try:
        return EPOCH + timedelta(microseconds=micros), ticket_id
    except OverflowError as error:
        raise ValueError(f"not a time: {micros}") from error


def required_id(value: str, name: str) -> str:
    """Return ``value``.

    Raises:
        InvalidRequestError: It is not a legal id.
    """
    decoder = Decoder()
    decoder.id(value, name)
    decoder.check()
    return value


def _id_of_arm(request: PbMessage, oneof: str, decoder: Decoder) -> str:
    """The name of the field of ``oneof`` that is set, whose value has to be an id; "" for none."""
    arm = decoder.required_arm(request, oneof, "")
    if arm:
        decoder.id(getattr(request, arm), arm)
    return arm


def labels_from_pb(labels: Iterable[pb.Label], decoder: Decoder) -> tuple[tuple[str, str], ...]:
    """The pairs in the order of their names."""
    found: dict[str, str] = {}
    for index, label in enumerate(labels):
        name = decoder.id(label.name, f"labels[{index}].name")
        if name in found:
            decoder.wrong(f"labels[{index}].name", "is there twice")
        found[name] = decoder.optional_id(label.value, f"labels[{index}].value")
    decoder.at_most(found, "labels", MAX_LABELS)
    return tuple(sorted(found.items()))
