"""Requests to commands: everything that is wrong is found at once."""

from __future__ import annotations

from google.protobuf.message import Message as PbMessage

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from services.chassis.errors import InvalidRequestError, UnimplementedError, Violation
from services.chassis.ids import id_violations
from services.content.convert import messages_from_pb
from services.content.model import Role
from services.runcontrol.api import tables as t
from services.runcontrol.api.cursors import decode_page_token
from services.runcontrol.core.exchange import TicketState, Verdict, VerdictKind, Wake, WakeStatus
from services.runcontrol.core.model import PoolMembership, Priority
from services.runcontrol.core.ports import TicketFilter
from services.runcontrol.core.runcontrol import CancelCommand, DecideCommand
from services.runcontrol.core.submission import MAX_DEADLINE_S, BusyPolicy, SubmitCommand

MAX_MESSAGES = 256
MAX_TOPICS = 64
MAX_ROUNDS = 1000
MAX_TEXT_CHARS = 4096
MAX_ANSWER_BYTES = 64 * 1024
MAX_WAKE_MESSAGES = 64
DEFAULT_PAGE = 50
MAX_PAGE = 200


def submit_from_pb(request: service.SubmitRunRequest, traceparent: str) -> SubmitCommand:
    """Decode and check.

    Raises:
        InvalidRequestError: With every violation.
        UnimplementedError: An option that this version does not serve.
    """
    found: list[Violation] = []
    for name in ("thread_id", "agent_id"):
        _optional_id(getattr(request, name), name, found)
    if not 1 <= len(request.messages) <= MAX_MESSAGES:
        found.append(Violation("messages", f"must have 1 to {MAX_MESSAGES} messages"))
    messages = messages_from_pb(request.messages, "messages", found)
    for index, message in enumerate(messages):
        if message.role not in (Role.SYSTEM, Role.USER):
            found.append(Violation(f"messages[{index}].role", "must be SYSTEM or USER"))
    command = SubmitCommand(
        messages=messages,
        thread_id=request.thread_id,
        agent_id=request.agent_id,
        busy_policy=_busy_policy(request, found),
        priority=_priority(request, found),
        pool=_pool(request, found),
        deadline_s=_deadline_s(request, found),
        max_rounds=_max_rounds(request.budget, found),
        max_total_tokens=_not_negative(
            request.budget.max_total_tokens, "budget.max_total_tokens", found
        ),
        min_registry_version=_not_negative(
            request.min_registry_version, "min_registry_version", found
        ),
        traceparent=traceparent,
    )
    _check_disconnect(request, found)
    _raise(found)
    return command


def _busy_policy(request: service.SubmitRunRequest, found: list[Violation]) -> BusyPolicy:
    policy = t.BUSY_POLICY_FROM_PB.get(request.busy_policy)
    if policy is None:
        found.append(_unknown_enum("busy_policy", request.busy_policy))
    return policy or BusyPolicy.ENQUEUE


def _priority(request: service.SubmitRunRequest, found: list[Violation]) -> Priority:
    priority = t.PRIORITY_FROM_PB.get(request.priority)
    if priority is None:
        found.append(_unknown_enum("priority", request.priority))
        return Priority.NORMAL
    return priority


def _pool(request: service.SubmitRunRequest, found: list[Violation]) -> PoolMembership | None:
    if not request.HasField("pool"):
        return None
    found += id_violations(request.pool.pool_id, "pool.pool_id")
    if len(request.pool.topics) > MAX_TOPICS:
        found.append(Violation("pool.topics", f"must have at most {MAX_TOPICS} topics"))
    for index, topic in enumerate(request.pool.topics):
        found += id_violations(topic, f"pool.topics[{index}]")
    return PoolMembership(request.pool.pool_id, tuple(request.pool.topics))


def _deadline_s(request: service.SubmitRunRequest, found: list[Violation]) -> float:
    if not request.HasField("deadline"):
        return MAX_DEADLINE_S
    seconds = request.deadline.seconds + request.deadline.nanos / 1e9
    if seconds <= 0:
        found.append(Violation("deadline", "must be more than 0 s"))
    return min(seconds, MAX_DEADLINE_S)


def _max_rounds(budget: pb.Budget, found: list[Violation]) -> int:
    if budget.max_rounds > MAX_ROUNDS:
        found.append(Violation("budget.max_rounds", f"must be at most {MAX_ROUNDS}"))
    return budget.max_rounds


def _check_disconnect(request: service.SubmitRunRequest, found: list[Violation]) -> None:
    known = service.DisconnectPolicy.values()
    if request.on_disconnect not in known:
        found.append(_unknown_enum("on_disconnect", request.on_disconnect))
    elif request.on_disconnect == service.DISCONNECT_POLICY_CANCEL:
        raise UnimplementedError("on_disconnect CANCEL is not served by this version")


def cancel_from_pb(request: service.CancelRunRequest) -> CancelCommand:
    """Decode and check.

    Raises:
        InvalidRequestError: With every violation.
    """
    found: list[Violation] = []
    _required_arm(request, "target", found)
    _short_text(request.reason, "reason", found)
    _raise(found)
    return CancelCommand(
        run_id=request.run_id,
        dispatch_id=request.dispatch_id,
        thread_id=request.thread_id,
        reason=request.reason,
    )


def decision_from_pb(request: service.SubmitDecisionRequest, traceparent: str) -> DecideCommand:
    """Decode and check.

    Raises:
        InvalidRequestError: With every violation.
        UnimplementedError: A verdict that this version does not serve.
    """
    found: list[Violation] = []
    selector = _required_arm(request, "selector", found)
    target = request.WhichOneof("target")
    if target:
        found += id_violations(getattr(request, target), target)
    elif selector == "tool_call_id":
        found.append(Violation("target", "is required with tool_call_id"))
    found += id_violations(request.decision_id, "decision_id")
    _short_text(request.comment, "comment", found)
    verdict = _verdict(request.verdict, found)
    _raise(found)
    return DecideCommand(
        decision_id=request.decision_id,
        verdict=verdict,
        ticket_id=request.ticket_id,
        call_id=request.tool_call_id,
        run_id=request.run_id,
        thread_id=request.thread_id,
        expected_digest=request.expected_digest,
        comment=request.comment,
        traceparent=traceparent,
    )


def _verdict(verdict: pb.Verdict, found: list[Violation]) -> Verdict:
    arm = verdict.WhichOneof("verdict")
    match arm:
        case "approve":
            return Verdict(VerdictKind.APPROVE)
        case "deny":
            _short_text(verdict.deny.reason, "verdict.deny.reason", found)
            return Verdict(VerdictKind.DENY, verdict.deny.reason)
        case "answer":
            if len(verdict.answer.content.encode()) > MAX_ANSWER_BYTES:
                text = f"must be at most {MAX_ANSWER_BYTES} bytes"
                found.append(Violation("verdict.answer.content", text))
            return Verdict(VerdictKind.ANSWER, verdict.answer.content)
        case "cancel_call":
            return Verdict(VerdictKind.CANCEL_CALL)
        case "cancel_run":
            return Verdict(VerdictKind.CANCEL_RUN)
    return _no_verdict(arm, found)


def _no_verdict(arm: str | None, found: list[Violation]) -> Verdict:
    if arm is not None:
        raise UnimplementedError(f"verdict {arm} is not served by this version", verdict=arm)
    found.append(Violation("verdict", "is required"))
    return Verdict(VerdictKind.DENY)


def ticket_filter_from_pb(request: service.ListTicketsRequest) -> TicketFilter:
    """Decode and check; asks for one ticket more than the page, to know whether there is one.

    Raises:
        InvalidRequestError: With every violation.
    """
    found: list[Violation] = []
    states = [t.TICKET_STATE_FROM_PB.get(state) for state in request.states]
    for index, state in enumerate(states):
        if state is None:
            found.append(_unknown_enum(f"states[{index}]", request.states[index]))
    if request.page_size < 0:
        found.append(Violation("page_size", "must not be negative"))
    after = decode_page_token(request.page_token, ticket_query(request), found)
    _raise(found)
    return TicketFilter(
        run_id=request.run_id,
        thread_id=request.thread_id,
        states=frozenset(state for state in states if state) or frozenset({TicketState.OPEN}),
        limit=page_size(request.page_size) + 1,
        after=after or TicketFilter.BEGINNING,
    )


def ticket_query(request: service.ListTicketsRequest) -> bytes:
    """What a page token is good for: the same question, whatever the page."""
    bare = service.ListTicketsRequest()
    bare.CopyFrom(request)
    bare.ClearField("page_token")
    bare.ClearField("page_size")
    return bare.SerializeToString(deterministic=True)


def page_size(wanted: int) -> int:
    return min(wanted or DEFAULT_PAGE, MAX_PAGE)


def wake_from_pb(request: service.DeliverWakeRequest) -> Wake:
    """Decode and check.

    Raises:
        InvalidRequestError: With every violation.
    """
    found: list[Violation] = []
    for name in ("pool_id", "condition_id", "run_id"):
        found += id_violations(getattr(request, name), name)
    status = t.WAKE_STATUS_FROM_PB.get(request.status)
    if status is None:
        found.append(_unknown_enum("status", request.status))
    if len(request.message_ids) > MAX_WAKE_MESSAGES:
        found.append(Violation("message_ids", f"must have at most {MAX_WAKE_MESSAGES} ids"))
    _raise(found)
    return Wake(
        tenant="",
        pool_id=request.pool_id,
        condition_id=request.condition_id,
        run_id=request.run_id,
        status=status or WakeStatus.FAILED,
        message_ids=tuple(request.message_ids),
        after=request.cursor.hex(),
        summary=request.summary,
        cause_traceparent=request.cause_traceparent,
        suspension_traceparent=request.suspension_traceparent,
    )


def required_id(value: str, name: str) -> str:
    """``value``, checked.

    Raises:
        InvalidRequestError: It is not a legal id.
    """
    _raise(id_violations(value, name))
    return value


def _required_arm(request: PbMessage, oneof: str, found: list[Violation]) -> str | None:
    arm = request.WhichOneof(oneof)
    if arm is None:
        found.append(Violation(oneof, "is required"))
        return None
    name = str(arm)
    found += id_violations(getattr(request, name), name)
    return name


def _optional_id(value: str, name: str, found: list[Violation]) -> None:
    if value:
        found += id_violations(value, name)


def _short_text(value: str, name: str, found: list[Violation]) -> None:
    if len(value) > MAX_TEXT_CHARS:
        found.append(Violation(name, f"must be at most {MAX_TEXT_CHARS} characters"))


def _not_negative(value: int, name: str, found: list[Violation]) -> int:
    if value < 0:
        found.append(Violation(name, "must not be negative"))
    return value


def _unknown_enum(name: str, value: int) -> Violation:
    return Violation(name, f"is not a known value: {int(value)}")


def _raise(found: list[Violation]) -> None:
    if found:
        raise InvalidRequestError.of(found)
