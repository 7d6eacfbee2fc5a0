"""Results become responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.call import MutationResponse
from services.chassis.protobuf.decoder import instant_to_pb
from services.chassis.protobuf.pages import page_token
from services.content.convert import EFFECT_CLASSES, message_to_pb, usage_to_pb
from services.runcontrol.api import enums
from services.runcontrol.core.excerpts import (
    MAX_SHOWN_CHARS,
    ShownTicket,
    left_out,
    share_chars,
    shown,
)
from services.runcontrol.core.exchange import (
    Call,
    Decision,
    LateResult,
    Ticket,
    Verdict,
    VerdictKind,
)
from services.runcontrol.core.late_results import MAX_LATE_RESULTS
from services.runcontrol.core.limits import MAX_SUPERSEDED_IDS, PAGE_BYTES, PART_CHARS
from services.runcontrol.core.model import (
    Input,
    InputDisposition,
    InputState,
    Lease,
    PoolMembership,
    Run,
    StoredMessage,
    Termination,
    WaitingReason,
)
from services.runcontrol.core.ports import CallView, InputPage, RunView
from services.runcontrol.core.runcontrol import Cancelled
from services.runcontrol.core.steering import Interrupted
from services.runcontrol.core.submission import Submitted
from services.runcontrol.core.tickets import Decided

# A client reads messages of at most 4 MiB, unless it says otherwise.
MAX_SHOWN_MESSAGE_BYTES = 2 << 20

# The texts and the bytes of each kind of part.
_TEXTS = {
    "text": "text",
    "tool_call": "arguments_json",
    "tool_result": "content",
    "reasoning": "text",
}
_BYTES = {"image": "data", "reasoning": "opaque_state"}


def submitted_to_pb(submitted: Submitted) -> service.SubmitRunResponse:
    running = service.SUBMIT_DISPOSITION_RUNNING
    return service.SubmitRunResponse(
        run_id=submitted.run_id,
        thread_id=submitted.thread_id,
        dispatch_id=submitted.dispatch_id,
        disposition=running if submitted.running else service.SUBMIT_DISPOSITION_QUEUED,
        input_id=submitted.input_id,
    )


def view_to_pb(view: RunView) -> service.GetRunResponse:
    chars = share_chars(3 * len(view.calls) + 2 * len(view.open_tickets))
    return service.GetRunResponse(
        run=run_to_pb(view.run, view.lease),
        tool_calls=[call_view_to_pb(call, chars) for call in view.calls],
        open_tickets=[ticket_to_pb(ticket, chars) for ticket in view.open_tickets],
    )


def cancelled_to_pb(cancelled: Cancelled) -> service.CancelRunResponse:
    return service.CancelRunResponse(
        outcome=enums.CANCEL_OUTCOMES.to_pb[cancelled.outcome],
        run=run_to_pb(cancelled.run) if cancelled.run else None,
    )


def decided_to_pb(decided: Decided) -> service.SubmitDecisionResponse:
    return service.SubmitDecisionResponse(
        outcome=enums.DECISION_OUTCOMES.to_pb[decided.outcome],
        ticket=ticket_to_pb(decided.ticket),
        stale_reason=decided.why,
    )


def ticket_response(ticket: Ticket, call: CallView | None) -> service.GetTicketResponse:
    about = call_view_to_pb(call, MAX_SHOWN_CHARS) if call else None
    return service.GetTicketResponse(ticket=ticket_to_pb(ticket), tool_call=about)


def run_to_pb(run: Run, lease: Lease | None = None) -> pb.Run:
    return pb.Run(
        run_id=run.run_id,
        thread_id=run.thread_id,
        agent_id=run.agent_id,
        state=enums.RUN_STATES.to_pb[run.state],
        termination=termination_to_pb(run.termination) if run.termination else None,
        waiting_reasons=[waiting_to_pb(reason) for reason in run.waiting],
        dispatch_id=run.dispatch_id,
        step=run.step,
        rounds=run.rounds,
        usage=usage_to_pb(run.usage),
        output_text=run.output_text[:PART_CHARS],
        output_chars=left_out(run.output_text, PART_CHARS),
        registry_version=run.registry_version,
        spec_digest=run.spec_digest,
        pool=pool_to_pb(run.pool),
        deadline_time=instant_to_pb(run.deadline_at),
        budget=pb.Budget(max_rounds=run.max_rounds, max_total_tokens=run.max_total_tokens),
        priority=enums.PRIORITIES.to_pb[run.priority],
        head_seq=run.event_seq,
        create_time=instant_to_pb(run.created_at),
        start_time=instant_to_pb(run.started_at),
        end_time=instant_to_pb(run.ended_at),
        traceparent=run.traceparent,
        parent_run_id=run.parent_run_id,
        parent_tool_call_id=run.parent_call_id,
        submitted_by=run.principal,
        labels=[pb.Label(name=name, value=value) for name, value in run.labels],
        executor=_executor_to_pb(lease) if lease else None,
        not_before_time=instant_to_pb(run.not_before),
    )


def _executor_to_pb(lease: Lease) -> pb.Executor:
    return pb.Executor(
        instance_id=lease.instance_id,
        fence=lease.fence,
        lease_until_time=instant_to_pb(lease.until),
    )


def pool_to_pb(pool: PoolMembership | None) -> pb.PoolMembership | None:
    return pb.PoolMembership(pool_id=pool.pool_id, topics=pool.topics) if pool else None


def termination_to_pb(termination: Termination) -> pb.Termination:
    return pb.Termination(
        reason=enums.TERMINATIONS.to_pb[termination.reason],
        message=termination.message,
        error_reason=termination.error_reason,
    )


def waiting_to_pb(reason: WaitingReason) -> pb.WaitingReason:
    return pb.WaitingReason(
        kind=enums.WAITING_KINDS.to_pb[reason.kind],
        ticket_id=reason.ticket_id,
        tool_call_id=reason.call_id,
        condition_id=reason.condition_id,
        until_time=instant_to_pb(reason.until),
    )


def call_to_pb(call: Call) -> pb.ToolInvocation:
    """The call as an event has it."""
    whole = CallView(call, len(call.arguments_json), len(call.result))
    answer = call_view_to_pb(whole, MAX_SHOWN_CHARS)
    for name in ("plan_time", "dispatch_time", "accept_time", "settle_time"):
        answer.ClearField(name)
    return answer


def call_view_to_pb(view: CallView, chars: int) -> pb.ToolInvocation:
    """The call with at most so many characters of its arguments and of its result."""
    call = view.call
    arguments, result = call.arguments_json[:chars], call.result[:chars]
    return pb.ToolInvocation(
        tool_call_id=call.call_id,
        model_call_id=call.model_call_id,
        tool_id=call.tool_id,
        arguments_json=arguments,
        arguments_chars=view.arguments_chars if len(arguments) < view.arguments_chars else 0,
        argument_digest=call.digest,
        effect_class=EFFECT_CLASSES.to_pb[call.effect_class],
        state=enums.CALL_STATES.to_pb[call.state],
        attempt=call.attempt,
        result=result,
        result_chars=view.result_chars if len(result) < view.result_chars else 0,
        child_run_id=call.child_run_id,
        arguments_by=call.arguments_by,
        worker_id=call.worker_id,
        plan_time=instant_to_pb(call.planned_at),
        dispatch_time=instant_to_pb(call.dispatched_at),
        accept_time=instant_to_pb(call.accepted_at),
        settle_time=instant_to_pb(call.settled_at),
        step=call.step,
        withheld_from_worker_id=call.withheld_from,
        # Together they are as long as one of the other texts.
        late_results=[_late_to_pb(late, chars // MAX_LATE_RESULTS) for late in call.late_results],
    )


def _late_to_pb(late: LateResult, chars: int) -> pb.LateResult:
    return pb.LateResult(
        attempt=late.attempt,
        fence=late.fence,
        reported_by=late.reported_by,
        worker_id=late.worker_id,
        state=enums.CALL_STATES.to_pb[late.state],
        text=late.text[:chars],
        report_time=instant_to_pb(late.received_at),
    )


def ticket_to_pb(ticket: Ticket, chars: int = MAX_SHOWN_CHARS) -> pb.Ticket:
    """The ticket with at most so many characters of its arguments and of its question."""
    return shown_ticket_to_pb(shown(ticket, chars))


def shown_ticket_to_pb(view: ShownTicket) -> pb.Ticket:
    ticket = view.ticket
    return pb.Ticket(
        ticket_id=ticket.ticket_id,
        kind=enums.TICKET_KINDS.to_pb[ticket.kind],
        state=enums.TICKET_STATES.to_pb[ticket.state],
        run_id=ticket.run_id,
        thread_id=ticket.thread_id,
        agent_id=ticket.agent_id,
        tool_call_id=ticket.call_id,
        tool_id=ticket.tool_id,
        arguments_json=ticket.arguments_json,
        arguments_chars=view.arguments_chars,
        argument_digest=ticket.digest,
        question=ticket.question,
        question_chars=view.question_chars,
        decision=decision_to_pb(ticket.winner) if ticket.winner else None,
        void_reason=ticket.void_reason,
        create_time=instant_to_pb(ticket.created_at),
        expire_time=instant_to_pb(ticket.expires_at),
    )


def decision_to_pb(decision: Decision) -> pb.Decision:
    return pb.Decision(
        decision_id=decision.decision_id,
        verdict=verdict_to_pb(decision.verdict),
        decided_by=decision.decided_by,
        comment=decision.comment,
        decide_time=instant_to_pb(decision.decided_at),
    )


_VERDICTS: Mapping[VerdictKind, Callable[[str], pb.Verdict]] = {
    VerdictKind.APPROVE: lambda _: pb.Verdict(approve=pb.Approve()),
    VerdictKind.APPROVE_EDITED: lambda text: pb.Verdict(
        approve_edited=pb.ApproveEdited(arguments_json=text)
    ),
    VerdictKind.DENY: lambda text: pb.Verdict(deny=pb.Deny(reason=text)),
    VerdictKind.ANSWER: lambda text: pb.Verdict(answer=pb.Answer(content=text)),
    VerdictKind.PASS_TO_TOOL: lambda text: pb.Verdict(
        pass_to_tool=pb.PassToTool(payload_json=text)
    ),
    VerdictKind.CANCEL_CALL: lambda _: pb.Verdict(cancel_call=pb.CancelCall()),
    VerdictKind.CANCEL_RUN: lambda _: pb.Verdict(cancel_run=pb.CancelWholeRun()),
    VerdictKind.HAPPENED: lambda text: pb.Verdict(happened=pb.Happened(content=text)),
    VerdictKind.DID_NOT_HAPPEN: lambda _: pb.Verdict(did_not_happen=pb.DidNotHappen()),
    VerdictKind.ABANDON: lambda _: pb.Verdict(abandon=pb.Abandon()),
}


def verdict_to_pb(verdict: Verdict) -> pb.Verdict:
    return _VERDICTS[verdict.kind](verdict.text)


def interrupted_to_pb(answer: Interrupted) -> service.InterruptThreadResponse:
    stopped, said = answer.interruption, answer.said
    return service.InterruptThreadResponse(
        epoch=stopped.thread.epoch,
        superseded_dispatch_ids=stopped.superseded[:MAX_SUPERSEDED_IDS],
        superseded_count=len(stopped.superseded),
        interrupted_run_id=stopped.run_id,
        new_run_id=said.run_id if said else "",
        new_input_id=said.input_id if said else "",
    )


def injected_to_pb(said: Input) -> service.InjectInputResponse:
    theirs = said.disposition in (InputDisposition.QUEUED, InputDisposition.RESUMED)
    return service.InjectInputResponse(
        input=input_to_pb(said),
        disposition=enums.INPUT_DISPOSITIONS.to_pb[said.disposition],
        run_id=said.run_id if theirs else "",
        blocked_by_ids=said.blocked_by,
    )


def edited_to_pb(said: Input) -> service.EditInputResponse:
    return service.EditInputResponse(input=input_to_pb(said))


def retracted_to_pb(said: Input) -> service.RetractInputResponse:
    return service.RetractInputResponse(input=input_to_pb(said))


def inputs_to_pb(
    request: service.ListPendingInputsRequest, page: InputPage
) -> service.ListPendingInputsResponse:
    last = page.inputs[-1].seq if page.inputs and page.more else None
    return service.ListPendingInputsResponse(
        inputs=[input_to_pb(each) for each in page.inputs],
        next_page_token=page_token(request, None if last is None else (last,)),
    )


def input_to_pb(each: Input) -> pb.Input:
    """The input; without its messages if they would fill a response."""
    answer = pb.Input(
        input_id=each.input_id,
        thread_id=each.thread_id,
        run_id=each.run_id,
        messages=[message_to_pb(message) for message in each.messages],
        state=enums.INPUT_STATES.to_pb[each.state],
        revision=each.revision,
        consumed_by_run_id=each.run_id if each.state is InputState.CONSUMED else "",
        create_time=instant_to_pb(each.created_at),
        agent_id=each.agent_id,
        mode=enums.INPUT_MODES.to_pb[each.mode],
        disposition=enums.INPUT_DISPOSITIONS.to_pb[each.disposition],
        blocked_by_ids=each.blocked_by,
    )
    # A store that reads for a page leaves out what does not fit into it.
    if not answer.messages or answer.ByteSize() > PAGE_BYTES:
        answer.ClearField("messages")
        answer.messages_left_out = True
    return answer


def stored_message_to_pb(stored: StoredMessage) -> pb.ThreadMessage:
    message = message_to_pb(stored.message)
    size_bytes = message.ByteSize()
    if size_bytes > MAX_SHOWN_MESSAGE_BYTES:
        _shorten(message)
    return pb.ThreadMessage(
        sequence=stored.seq,
        run_id=stored.run_id,
        origin=enums.ORIGINS.to_pb[stored.origin],
        message=message,
        create_time=instant_to_pb(stored.created_at),
        whole_bytes=size_bytes if size_bytes > MAX_SHOWN_MESSAGE_BYTES else 0,
    )


def _shorten(message: content.Message) -> None:
    """Cut the texts of a message to at most 1 MiB together, and drop what is no text."""
    chars = share_chars(len(message.parts))
    for part in message.parts:
        kind = part.WhichOneof("part")
        value = getattr(part, kind)
        if kind in _TEXTS:
            setattr(value, _TEXTS[kind], getattr(value, _TEXTS[kind])[:chars])
        if kind in _BYTES:
            value.ClearField(_BYTES[kind])


SUBMITTED = MutationResponse(service.SubmitRunResponse, submitted_to_pb)
CANCELLED = MutationResponse(service.CancelRunResponse, cancelled_to_pb)
DECIDED = MutationResponse(service.SubmitDecisionResponse, decided_to_pb)
INTERRUPTED = MutationResponse(service.InterruptThreadResponse, interrupted_to_pb)
INJECTED = MutationResponse(service.InjectInputResponse, injected_to_pb)
EDITED = MutationResponse(service.EditInputResponse, edited_to_pb)
RETRACTED = MutationResponse(service.RetractInputResponse, retracted_to_pb)
