"""The transitions of a call that a worker executes.

READY -> DISPATCHED -> ACCEPTED -> SUCCEEDED | FAILED | CANCELLED
  ^----------/------------/ | \\---> UNKNOWN, until somebody says what has become of it
  ^-------- SUSPENDED <-----/

A call that was not accepted goes back to READY. One whose worker is lost goes back if it may run
twice; else a worker of its tool is asked what has become of it if the effect can be looked up, and
then a person. A late result answers too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from services.chassis.caller import Principal
from services.chassis.ids import IdSource
from services.content.model import EffectClass
from services.runcontrol.core.errors import ToolNotAllowedError
from services.runcontrol.core.events import (
    ProbeOutcome,
    RunWoken,
    TicketVoided,
    ToolCallAccepted,
    ToolCallDispatched,
    ToolCallProbed,
    ToolCallProgress,
    ToolCallWithheld,
)
from services.runcontrol.core.exchange import (
    REPEATS_ARE_EFFECTS,
    Call,
    CallState,
    TicketKind,
    TicketState,
)
from services.runcontrol.core.finishing import settle_call
from services.runcontrol.core.forbidding import denial
from services.runcontrol.core.model import Cause, RunState
from services.runcontrol.core.parking import resolve, wait_for_person
from services.runcontrol.core.schemas import schema_digest
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tickets import open_ticket
from services.runcontrol.core.work import Work

# Of a call that may run twice: attempts that were accepted and lost, or failed for the moment.
MAX_TRIES = 5
_FIRST_PAUSE_S = 0.5
# How long a worker is waited for that says what has become of a call: one may have to start again.
PROBE_S = 30.0

_LATE = "result_arrived"


@dataclass(frozen=True, slots=True)
class WorkerTimes:
    """What workers are held to.

    Attributes:
        accept_s: How long one may take to accept a call.
        lease_s: How long a silent one keeps the calls that it has accepted.
    """

    accept_s: float = 2.0
    lease_s: float = 15.0

    @property
    def heartbeat_s(self) -> float:
        """How often it must give a sign of life: two may be lost."""
        return self.lease_s / 3


@dataclass(frozen=True, slots=True)
class CallRef:
    """One attempt of a call."""

    call_id: str
    attempt: int
    fence: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A start of a worker: ``instance_id`` differs for each."""

    worker_id: str
    instance_id: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    content: str


@dataclass(frozen=True, slots=True)
class Failed:
    code: str
    message: str
    retryable: bool = False


class Effect(Enum):
    NONE = "none"
    DONE = "done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It was stopped; ``effect`` says whether it had taken effect by then."""

    effect: Effect


Outcome = Succeeded | Failed | Cancelled

_FOUND = {
    Effect.DONE: ProbeOutcome.HAPPENED,
    Effect.NONE: ProbeOutcome.DID_NOT_HAPPEN,
    Effect.UNKNOWN: ProbeOutcome.UNKNOWN,
}


class ResultOutcome(Enum):
    COMMITTED = "committed"
    DUPLICATE = "duplicate"
    FENCED = "fenced"


def refuse_foreign_tools(principal: Principal, tool_ids: Sequence[str]) -> None:
    """Refuse a worker that serves more than its token names.

    Raises:
        ToolNotAllowedError: Names every tool that it may not serve.
    """
    foreign = sorted(set(tool_ids) - principal.tools)
    if principal.tools and foreign:
        raise ToolNotAllowedError.of(principal.name, foreign)


def offer(work: Work, call: Call, tool: ToolSpec, trace: str) -> Work:
    """Let a call wait for a worker; one that waits already is left alone."""
    if call.timeout_at is not None:
        return work
    ready = replace(
        call,
        state=CallState.READY,
        label=tool.label,
        schema_digest=schema_digest(tool.json_schema),
        timeout_ms=round(tool.timeout_s * 1000),
        due_at=work.now,
        timeout_at=work.now + timedelta(seconds=tool.timeout_s),
        traceparent=trace,
    )
    return work.with_call(ready)


def may_be_taken(work: Work, call: Call | None) -> bool:
    """Whether a worker may have the call now."""
    if call is None or call.state is not CallState.READY or call.due_at is None:
        return False
    return call.due_at <= work.now


def deny(work: Work, call: Call, tool: ToolSpec, ids: IdSource) -> Work:
    """Let a call fail that may be taken and that a newer registry version denies."""
    return _settle(work, call, CallState.FAILED, denial(tool), ids)


def dispatch(work: Work, call: Call, worker: Worker, accept_s: float) -> Work:
    """Give a call that may be taken to a worker, which has ``accept_s`` to accept it."""
    taken = replace(
        call,
        state=CallState.DISPATCHED,
        attempt=call.attempt + 1,
        fence=work.thread.fence,
        due_at=work.now + timedelta(seconds=accept_s),
        timeout_at=work.now + call.timeout,
        worker_id=worker.worker_id,
        worker_instance=worker.instance_id,
        progress_seq=0,
        dispatched_at=work.now,
        accepted_at=None,
        withheld_from="",
    )
    return work.with_call(taken).emit(ToolCallDispatched(call.call_id, taken.attempt))


def withhold(work: Work, call: Call, worker: Worker, tool_version: str) -> Work:
    """Record that a worker of its tool does not get a call, because it expects another schema."""
    if call.withheld_from:
        return work
    withheld = work.with_call(replace(call, withheld_from=worker.worker_id))
    return withheld.emit(ToolCallWithheld(call.call_id, worker.worker_id, tool_version))


def is_attempt(call: Call | None, ref: CallRef) -> bool:
    """Whether ``ref`` is the newest attempt of the call."""
    return call is not None and (call.attempt, call.fence) == (ref.attempt, ref.fence)


def accept(work: Work, call: Call, lease_s: float) -> Work:
    """Let the worker of a dispatched call execute it under a lease."""
    accepted = replace(
        call,
        state=CallState.ACCEPTED,
        due_at=work.now + timedelta(seconds=lease_s),
        tries=call.tries + 1,
        accepted_at=work.now,
    )
    return work.with_call(accepted).emit(ToolCallAccepted(call.call_id, call.worker_id))


def hand_back(work: Work, call: Call) -> Work:
    """Let another worker have a call that was not started."""
    started = call.state is CallState.ACCEPTED
    return _ready_again(work, replace(call, tries=call.tries - started), 0.0)


def note_progress(work: Work, call: Call, progress_seq: int, note: str) -> Work:
    """Record the progress of an accepted call, unless it is not news."""
    if call.state is not CallState.ACCEPTED or progress_seq <= call.progress_seq:
        return work
    work = work.with_call(replace(call, progress_seq=progress_seq))
    return work.emit(ToolCallProgress(call.call_id, progress_seq, note))


def end(work: Work, call: Call, outcome: Outcome, ids: IdSource) -> Work:
    """Settle an attempt that has ended, or try again where that is asked for and harmless."""
    if isinstance(outcome, Succeeded):
        return _settle(work, call, CallState.SUCCEEDED, outcome.content, ids)
    if isinstance(outcome, Cancelled):
        return _stopped(work, call, outcome.effect, ids)
    if outcome.retryable and _may_repeat(call):
        return _ready_again(work, call, _pause_s(call))
    text = f"{outcome.code}: {outcome.message}"
    return _settle(work, call, CallState.FAILED, text, ids)


def may_ask(work: Work, call: Call) -> bool:
    """Whether an attempt that is the newest may still end with a question.

    One that was lost meanwhile may, until somebody has said what became of it.
    """
    ticket = work.ticket_of(call.call_id)
    unanswered = ticket is None or ticket.state is TicketState.OPEN
    return call.state in (CallState.ACCEPTED, CallState.READY, CallState.UNKNOWN) and unanswered


def ask(work: Work, call: Call, question: str, sealed_state: bytes) -> Work:
    """End an attempt that may ask; the person's answer and ``sealed_state`` begin the next one."""
    ended = replace(
        call,
        asked=call.attempt,
        sealed_state=sealed_state,
        answer_json="",
        due_at=None,
        timeout_at=None,
        probe_until=None,
    )
    work = _void(work, call)
    work = open_ticket(work, ended, TicketKind.TOOL_INPUT, question, call.traceparent)
    return wait_for_person(work, work.call(call.call_id))


def _void(work: Work, call: Call) -> Work:
    """Withdraw the question of what has become of a call: its worker has said so."""
    ticket = work.ticket_of(call.call_id)
    if ticket is None:
        return work
    void = replace(ticket, state=TicketState.VOID, void_reason=_LATE)
    return work.with_ticket(void).emit(TicketVoided(ticket.ticket_id, _LATE))


def _stopped(work: Work, call: Call, effect: Effect, ids: IdSource) -> Work:
    if effect is Effect.UNKNOWN:
        return lose(work, call, "was stopped", ids)
    return _settle(work, call, CallState.CANCELLED, stopped_text(effect), ids)


def stopped_text(effect: Effect) -> str:
    """What is said of a call that was stopped."""
    if effect is Effect.UNKNOWN:
        return "stopped; whether it took effect is not known"
    when = "before" if effect is Effect.NONE else "after"
    return f"stopped {when} it took effect"


def sweep(work: Work, call: Call, ids: IdSource) -> Work:
    """What has become of a call by now: not accepted in time, lost, or out of time."""
    due = call.due_at is not None and call.due_at <= work.now
    late = call.timeout_at is not None and call.timeout_at <= work.now
    if call.state is CallState.READY and late:
        text = f"no worker took the call within {_seconds(call)} s"
        if call.withheld_from:
            text += f": {call.withheld_from} serves {call.tool_id} for another schema"
        return _settle(work, call, CallState.FAILED, text, ids)
    if call.state is CallState.DISPATCHED and due:
        return _ready_again(work, call, 0.0)
    if call.state is CallState.ACCEPTED and late:
        return lose(work, call, f"timed out after {_seconds(call)} s", ids)
    if call.state is CallState.ACCEPTED and due:
        return lose(work, call, "lost its worker", ids)
    if call.probe_until is not None and call.probe_until <= work.now:
        work = work.emit(ToolCallProbed(call.call_id, ProbeOutcome.NOT_ANSWERED))
        return _ask_person(work, call, "is lost, no worker says what has become of it")
    return work


def lose(work: Work, call: Call, what: str, ids: IdSource) -> Work:
    """End an accepted attempt of which nobody can say what has become.

    Args:
        what: What happened, as the end of a sentence about the call.
    """
    if call.reconciling:
        return work  # a person is asked already, and may have answered
    if call.effect_class is EffectClass.RECONCILABLE:
        until = work.now + timedelta(seconds=PROBE_S)
        return work.with_call(replace(call, state=CallState.UNKNOWN, probe_until=until))
    if call.effect_class in REPEATS_ARE_EFFECTS:
        return _ask_person(work, call, what)
    if _may_repeat(call):
        return _ready_again(work, call, _pause_s(call))
    text = f"the call {what}; {call.tries} attempts were made"
    return _settle(work, call, CallState.FAILED, text, ids)


def take_finding(work: Work, call: Call, effect: Effect, content: str, ids: IdSource) -> Work:
    """Let what a worker has found out about a lost attempt count."""
    work = work.emit(ToolCallProbed(call.call_id, _FOUND[effect]))
    if effect is Effect.DONE:
        return _settle(work, call, CallState.SUCCEEDED, content, ids)
    if effect is Effect.UNKNOWN:
        return _ask_person(work, call, "is lost, its worker cannot tell what has become of it")
    if call.tries >= MAX_TRIES:
        text = f"the call did not take effect; {call.tries} attempts were made"
        return _settle(work, call, CallState.FAILED, text, ids)
    # Another generation: the effect of an attempt may happen once more.
    again = replace(call, generation=call.generation + 1, probe_until=None)
    return _ready_again(work, again, _pause_s(call))


def _ask_person(work: Work, call: Call, what: str) -> Work:
    asked = f"{call.tool_id} {what}, and may have taken effect: has it?"
    lost = replace(call, probe_until=None)
    work = open_ticket(work, lost, TicketKind.RECONCILE, asked, call.traceparent)
    return wait_for_person(work, work.call(call.call_id))


def _seconds(call: Call) -> str:
    return f"{call.timeout_ms / 1000:g}"


def _may_repeat(call: Call) -> bool:
    return call.effect_class not in REPEATS_ARE_EFFECTS and call.tries < MAX_TRIES


def _pause_s(call: Call) -> float:
    return _FIRST_PAUSE_S * 2.0 ** max(0, call.tries - 1)


def _ready_again(work: Work, call: Call, pause_s: float) -> Work:
    due = work.now + timedelta(seconds=pause_s)
    ready = replace(
        call,
        state=CallState.READY,
        due_at=due,
        timeout_at=due + call.timeout,
    )
    return work.with_call(ready)


def _settle(work: Work, call: Call, state: CallState, text: str, ids: IdSource) -> Work:
    """Give a call its result, and let the run that waits for it continue."""
    work = settle_call(_void(work, call), call, state, text)
    if work.run.state is RunState.WAITING:
        work = work.emit(RunWoken("tool_result", call.call_id, None, call.traceparent))
    return resolve(work, call.call_id, Cause("tool_result", "", call.traceparent), ids)
