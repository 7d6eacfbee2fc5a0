"""Runs, tickets and everything else a caller reads, in the terms of the contract."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.content.convert import EFFECT_CLASS_TO_PB, message_to_pb, usage_to_pb
from services.runcontrol.api import tables as t
from services.runcontrol.core.exchange import Call, Decision, Ticket, Verdict, VerdictKind
from services.runcontrol.core.model import (
    Input,
    PoolMembership,
    Run,
    StoredMessage,
    Termination,
    WaitingReason,
)


def instant_to_pb(instant: datetime | None) -> Timestamp | None:
    if instant is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def run_to_pb(run: Run) -> pb.Run:
    return pb.Run(
        run_id=run.run_id,
        thread_id=run.thread_id,
        agent_id=run.agent_id,
        state=t.RUN_STATE_TO_PB[run.state],
        termination=termination_to_pb(run.termination) if run.termination else None,
        waiting_reasons=[waiting_to_pb(reason) for reason in run.waiting],
        dispatch_id=run.dispatch_id,
        step=run.step,
        rounds=run.rounds,
        usage=usage_to_pb(run.usage),
        output_text=run.output_text,
        registry_version=run.registry_version,
        spec_digest=run.spec_digest,
        pool=pool_to_pb(run.pool),
        deadline_time=instant_to_pb(run.deadline_at),
        budget=pb.Budget(max_rounds=run.max_rounds, max_total_tokens=run.max_total_tokens),
        priority=t.PRIORITY_TO_PB[run.priority],
        head_seq=run.event_seq,
        create_time=instant_to_pb(run.created_at),
        start_time=instant_to_pb(run.started_at),
        end_time=instant_to_pb(run.ended_at),
        traceparent=run.traceparent,
    )


def pool_to_pb(pool: PoolMembership | None) -> pb.PoolMembership | None:
    return pb.PoolMembership(pool_id=pool.pool_id, topics=pool.topics) if pool else None


def termination_to_pb(termination: Termination) -> pb.Termination:
    return pb.Termination(
        reason=t.TERMINATION_TO_PB[termination.reason],
        message=termination.message,
        error_reason=termination.error_reason,
    )


def waiting_to_pb(reason: WaitingReason) -> pb.WaitingReason:
    return pb.WaitingReason(
        kind=t.WAITING_KIND_TO_PB[reason.kind],
        ticket_id=reason.ticket_id,
        tool_call_id=reason.call_id,
        condition_id=reason.condition_id,
        until_time=instant_to_pb(reason.until),
    )


def call_to_pb(call: Call) -> pb.ToolInvocation:
    return pb.ToolInvocation(
        tool_call_id=call.call_id,
        model_call_id=call.model_call_id,
        tool_id=call.tool_id,
        arguments_json=call.arguments_json,
        argument_digest=call.digest,
        effect_class=EFFECT_CLASS_TO_PB[call.effect_class],
        state=t.CALL_STATE_TO_PB[call.state],
        attempt=call.attempt,
        result=call.result,
    )


def ticket_to_pb(ticket: Ticket) -> pb.Ticket:
    return pb.Ticket(
        ticket_id=ticket.ticket_id,
        kind=t.TICKET_KIND_TO_PB[ticket.kind],
        state=t.TICKET_STATE_TO_PB[ticket.state],
        run_id=ticket.run_id,
        thread_id=ticket.thread_id,
        agent_id=ticket.agent_id,
        tool_call_id=ticket.call_id,
        tool_id=ticket.tool_id,
        arguments_json=ticket.arguments_json,
        argument_digest=ticket.digest,
        question=ticket.question,
        decision=decision_to_pb(ticket.winner) if ticket.winner else None,
        void_reason=ticket.void_reason,
        create_time=instant_to_pb(ticket.created_at),
    )


def decision_to_pb(decision: Decision) -> pb.Decision:
    return pb.Decision(
        decision_id=decision.decision_id,
        verdict=verdict_to_pb(decision.verdict),
        decided_by=decision.decided_by,
        comment=decision.comment,
        decide_time=instant_to_pb(decision.decided_at),
    )


def verdict_to_pb(verdict: Verdict) -> pb.Verdict:
    match verdict.kind:
        case VerdictKind.APPROVE:
            return pb.Verdict(approve=pb.Approve())
        case VerdictKind.DENY:
            return pb.Verdict(deny=pb.Deny(reason=verdict.text))
        case VerdictKind.ANSWER:
            return pb.Verdict(answer=pb.Answer(content=verdict.text))
        case VerdictKind.CANCEL_CALL:
            return pb.Verdict(cancel_call=pb.CancelCall())
        case VerdictKind.CANCEL_RUN:
            return pb.Verdict(cancel_run=pb.CancelWholeRun())


def input_to_pb(said: Input) -> pb.Input:
    return pb.Input(
        input_id=said.input_id,
        thread_id=said.thread_id,
        run_id=said.run_id,
        messages=[message_to_pb(message) for message in said.messages],
        state=t.INPUT_STATE_TO_PB[said.state],
        revision=said.revision,
        create_time=instant_to_pb(said.created_at),
    )


def stored_message_to_pb(stored: StoredMessage) -> pb.ThreadMessage:
    return pb.ThreadMessage(
        sequence=stored.seq,
        run_id=stored.run_id,
        origin=t.ORIGIN_TO_PB[stored.origin],
        message=message_to_pb(stored.message),
        create_time=instant_to_pb(stored.created_at),
    )
