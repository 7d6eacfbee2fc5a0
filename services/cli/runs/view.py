"""A run's events on a terminal: its text as it is streamed, everything else as one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from runyard.provider.v1 import provider_pb2 as provider
from runyard.router.v1 import router_pb2 as router
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from services.chassis.protobuf.enums import value_name
from services.cli.base.layout import Part
from services.cli.base.messages import as_json, short_name
from services.cli.base.terminal import Terminal
from services.cli.runs.decision import tokens
from services.cli.runs.quiet import Quiet

_COMPLETED = {
    pb.TERMINATION_REASON_NATURAL_END,
    pb.TERMINATION_REASON_MAX_ROUNDS,
    pb.TERMINATION_REASON_TOKEN_BUDGET,
}
_SPOKEN = frozenset({"text_delta", "reasoning_delta"})
_CAUSES: Mapping[str, str] = {
    "decision": "a decision",
    "tool_result": "a result",
    "wake": "a wake from the pool",
    "input": "new input",
    "timer": "a timer",
    "backoff": "its next attempt",
    "recovery": "a recovery",
}


@dataclass
class RunView:
    """Shows one run.

    Attributes:
        label: Shown before every line, to distinguish runs; empty for none.
        whole: Show text when it is complete, so that the lines of several runs do not mix.
        quiet: Chooses the events to show; None for all.
        tools: Tool of each call met so far, by the call's id.
        untold: Arguments of calls that no line has told of yet, by the call's id.
        finished: How it ended; None while it has not.
        woken_by: Causes that were shown since it last went on.
        newest_seq: Of the run's events; 0 before the first.
        heard: The deltas since the last message; None when some of them did not come.
    """

    terminal: Terminal
    label: str = ""
    style: str = "cyan"
    whole: bool = False
    quiet: Quiet | None = None
    tools: dict[str, str] = field(default_factory=dict)
    untold: dict[str, str] = field(default_factory=dict)
    finished: pb.RunFinished | None = None
    _buffered: str = ""
    woken_by: set[str] = field(default_factory=set)
    newest_seq: int = 0
    heard: int | None = 0

    def show(self, event: pb.Event) -> None:
        self.terminal.data(as_json(event))
        self._note(event)
        if event.HasField("message_committed"):
            event = self._catch_up(event)
        kind = event.WhichOneof("kind")
        if kind in _SPOKEN or kind in _LINES:
            for each in [event] if self.quiet is None else self.quiet.take(event):
                self._show(each)

    @property
    def holds(self) -> bool:
        """Whether something waits to be shown."""
        return self.quiet is not None and self.quiet.holds

    def release(self) -> None:
        """Show what waits: nothing followed it in time."""
        for each in [] if self.quiet is None else self.quiet.release():
            self._show(each)

    def _note(self, event: pb.Event) -> None:
        if event.HasField("tool_call_planned"):
            call = event.tool_call_planned.call
            self.tools[call.tool_call_id] = call.tool_id
            self.untold[call.tool_call_id] = call.arguments_json
        if event.HasField("run_finished"):
            self.finished = event.run_finished
        if 0 < self.newest_seq < event.run_seq - 1:
            self.heard = None
        self.newest_seq = event.run_seq
        if self.heard is not None and event.WhichOneof("kind") in _SPOKEN:
            self.heard += 1

    def _catch_up(self, event: pb.Event) -> pb.Event:
        """A message whose deltas did not all come as one delta; any other as it is."""
        heard, self.heard = self.heard, 0
        if heard or not event.message_committed.covers_from_run_seq:
            return event
        said = event.message_committed.message.message.parts
        text = "".join(part.text.text for part in said)
        self._buffered = ""
        if heard is None and not self.whole:
            self._line(("the whole answer:", "dim"))
        return pb.Event(run_id=event.run_id, text_delta=pb.TextDelta(text=text))

    def _show(self, event: pb.Event) -> None:
        kind = event.WhichOneof("kind")
        if kind == "text_delta" and self.whole:
            self._buffered += event.text_delta.text
        elif kind == "text_delta":
            self._speak(event.text_delta.text, "")
        elif kind == "reasoning_delta":
            self._speak(event.reasoning_delta.text, "dim")
        elif kind in _LINES:
            self._show_buffered()
            for parts in _LINES[kind](self, event):
                self._line(*parts)

    @property
    def completed(self) -> bool:
        """Whether it ended with an answer."""
        return self.finished is not None and self.finished.termination.reason in _COMPLETED

    def _speak(self, text: str, style: str) -> None:
        self.terminal.stream_text(
            text, *self._lead(), ("» ", "dim"), style=style, source=f"run {self.label}"
        )

    def _show_buffered(self) -> None:
        if self._buffered:
            lead, rest = [*self._lead(), ("» ", "dim")], [*self._lead(), "  "]
            self.terminal.prose(self._buffered, lead, rest)
            self._buffered = ""

    def _line(self, *parts: Part) -> None:
        lead, rest = [*self._lead(), ("· ", "dim")], [*self._lead(), "  "]
        self.terminal.line(*parts, lead=lead, rest=rest)

    def _lead(self) -> list[Part]:
        return [(f"{self.label} ", self.style)] if self.label else []

    def tool(self, call_id: str) -> str:
        """The tool of a call; of the join that comes with a submit, which no model asked for."""
        return self.tools.get(call_id, "pool_join")


Lines = Iterable[list[Part]]


def _planned(view: RunView, event: pb.Event) -> Lines:
    call = event.tool_call_planned.call
    view.untold.pop(call.tool_call_id, None)
    yield ["calls ", (call.tool_id, "bold"), f" {call.arguments_json}"]


def _settled(view: RunView, event: pb.Event) -> Lines:
    settled = event.tool_call_settled
    failed = settled.state != pb.ToolInvocation.STATE_SUCCEEDED
    state = short_name(pb.ToolInvocation.State.DESCRIPTOR, settled.state)
    arguments = view.untold.pop(settled.tool_call_id, "")
    yield [
        (view.tool(settled.tool_call_id), "bold"),
        f" {arguments}" if arguments else "",
        (f" {state}", "red" if failed else "green"),
        f": {settled.result}" if settled.result else "",
    ]


def _ticket(view: RunView, event: pb.Event) -> Lines:
    ticket = event.ticket_opened.ticket
    view.untold.pop(ticket.tool_call_id, None)
    asked = ticket.question or f"may it call {ticket.tool_id} with {ticket.arguments_json}"
    yield [("asks for a decision: ", "bold yellow"), asked]
    if ticket.kind in (pb.Ticket.KIND_QUESTION, pb.Ticket.KIND_TOOL_INPUT):
        yield ["  runyard answer ", (ticket.ticket_id, "bold"), ' "…"']
    else:
        yield ["  runyard decide ", (ticket.ticket_id, "bold"), " approve"]


def _decided(_: RunView, event: pb.Event) -> Lines:
    decision = event.ticket_decided.decision
    verdict = (decision.verdict.WhichOneof("verdict") or "decided").replace("_", " ")
    by = f" by {decision.decided_by}" if decision.decided_by else ""
    comment = f": {decision.comment}" if decision.comment else ""
    yield [("decision: ", "bold"), (verdict, "bold green"), f"{by}{comment}"]


def _parked(view: RunView, event: pb.Event) -> Lines:
    waits = [_wait(view, reason) for reason in event.run_parked.reasons]
    yield [("parked", "bold yellow"), f", holds nothing, waits for {', '.join(waits)}"]


def _wait(view: RunView, reason: pb.WaitingReason) -> str:
    what = short_name(pb.WaitingKind.DESCRIPTOR, reason.kind).replace("_", " ")
    tool = f" ({view.tool(reason.tool_call_id)})" if reason.tool_call_id else ""
    return what + tool


def _woken(view: RunView, event: pb.Event) -> Lines:
    woken = event.run_woken
    view.woken_by.add(woken.cause)
    ended = ""
    if woken.wake_status:
        ended = f" ({short_name(pb.WakeStatus.DESCRIPTOR, woken.wake_status).replace('_', ' ')})"
    yield [("woken", "bold green"), f" by {_CAUSES.get(woken.cause, woken.cause)}{ended}"]


def _resumed(view: RunView, event: pb.Event) -> Lines:
    """Only what its wakes have not said already."""
    causes = [cause for cause in event.run_resumed.causes if cause not in view.woken_by]
    view.woken_by.clear()
    if causes:
        yield ["goes on for ", ", ".join(_CAUSES.get(cause, cause) for cause in causes)]


def _why(routed: pb.Routed) -> str:
    """Why a call was moved: a failure in the call, else before it, else in an earlier one."""
    name = (
        value_name(provider.FailureClass, "FAILURE_CLASS", routed.failure)
        or value_name(router.SkipReason, "SKIP_REASON", routed.skip_reason)
        or value_name(router.StickyOutcome, "STICKY_OUTCOME", routed.sticky)
    )
    return name.replace("_", " ")


def _routed(_: RunView, event: pb.Event) -> Lines:
    routed = event.routed
    if routed.switched_from_model_id:
        yield [
            ("routed ", "bold"),
            f"{routed.target_id}: {routed.switched_from_model_id} → ",
            (routed.model_id, "bold green"),
            (f" because of {_why(routed)}", "yellow"),
            f", {routed.attempts} attempt{'s' if routed.attempts != 1 else ''}",
        ]
    else:
        yield ["routed ", f"{routed.target_id} → ", (routed.model_id, "green")]


def _attempt_failed(_: RunView, event: pb.Event) -> Lines:
    failed = event.attempt_failed
    then = "another attempt follows" if failed.will_retry else "no attempt follows"
    what = f"attempt {failed.attempt} failed: {failed.reason} {failed.message}"
    yield [(what, "red"), f", {then}"]


_PROBED = {
    pb.ToolCallProbed.OUTCOME_HAPPENED: "; a worker says that it took effect",
    pb.ToolCallProbed.OUTCOME_DID_NOT_HAPPEN: "; a worker says that it took no effect",
    pb.ToolCallProbed.OUTCOME_UNKNOWN: "; its worker cannot tell whether it took effect",
    pb.ToolCallProbed.OUTCOME_NOT_ANSWERED: "; no worker says whether it took effect",
}


def _probed(view: RunView, event: pb.Event) -> Lines:
    probed = event.tool_call_probed
    yield [view.tool(probed.tool_call_id), f": was lost{_PROBED.get(probed.outcome, '')}"]


def _finished(view: RunView, event: pb.Event) -> Lines:
    end = event.run_finished.termination
    reason = short_name(pb.TerminationReason.DESCRIPTOR, end.reason).replace("_", " ")
    why = "".join(f", {text}" for text in (end.error_reason, end.message) if text)
    used = f" ({tokens(event.run_finished.usage)})"
    style = "bold green" if view.completed else "bold red"
    yield [("finished: ", style), (reason, style), why, (used, "dim")]


_LINES: Mapping[str, Callable[[RunView, pb.Event], Lines]] = {
    "run_queued": lambda _, e: [[f"run {e.run_id} of {e.run_queued.agent_id} is queued"]],
    "run_started": lambda _, e: [["started"]],
    "run_resumed": _resumed,
    "run_cancelling": lambda _, e: [[("is being cancelled ", "yellow"), e.run_cancelling.reason]],
    "run_finished": _finished,
    "step_reset": lambda _, e: [[("the step starts over", "yellow")]],
    "tool_call_planned": _planned,
    "tool_call_settled": _settled,
    "tool_call_progress": lambda v, e: [
        [v.tool(e.tool_call_progress.tool_call_id), f": {e.tool_call_progress.note}"]
    ],
    "tool_call_withheld": lambda v, e: [
        [
            v.tool(e.tool_call_withheld.tool_call_id),
            (" waits for another worker: ", "yellow"),
            f"{e.tool_call_withheld.worker_id} serves it for another schema",
        ]
    ],
    "tool_call_probed": _probed,
    "ticket_opened": _ticket,
    "ticket_decided": _decided,
    "ticket_expired": lambda _, e: [[("denied: ", "yellow"), "nobody decided in time"]],
    "ticket_voided": lambda _, e: [[("the ticket is void: ", "yellow"), e.ticket_voided.reason]],
    "attempt_failed": _attempt_failed,
    "routed": _routed,
    "run_parked": _parked,
    "run_woken": _woken,
}
