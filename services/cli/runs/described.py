"""``runyard describe run`` and ``describe thread``: what a person needs to know, on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json, moment, short_name
from services.cli.base.terminal import Terminal
from services.cli.runs.decision import tokens
from services.cli.talk.clients import Clients

_CALLS = 10
_RUNS = 5
_TEXT_CHARS = 600


async def describe_runs(stubs: Clients, ids: Sequence[str], terminal: Terminal) -> None:
    for run_id in ids:
        request = service_pb.GetRunRequest(run_id=run_id)
        found = await stubs.call("runcontrol", stubs.runcontrol.GetRun, request)
        terminal.data(as_json(found))
        _show_run(found, terminal)


async def describe_threads(stubs: Clients, ids: Sequence[str], terminal: Terminal) -> None:
    for thread_id in ids:
        get = service_pb.GetThreadRequest(thread_id=thread_id)
        thread = (await stubs.call("runcontrol", stubs.runcontrol.GetThread, get)).thread
        ask = service_pb.GetActiveRunRequest(thread_id=thread_id)
        active = await stubs.call("runcontrol", stubs.runcontrol.GetActiveRun, ask)
        newest = service_pb.ListRunsRequest(thread_id=thread_id, page_size=_RUNS)
        runs = (await stubs.call("runcontrol", stubs.runcontrol.ListRuns, newest)).runs
        unread = service_pb.ListPendingInputsRequest(thread_id=thread_id)
        inputs = await stubs.call("runcontrol", stubs.runcontrol.ListPendingInputs, unread)
        terminal.data(
            {
                "thread": as_json(thread),
                "active": as_json(active),
                "runs": [as_json(each) for each in runs],
                "pending_inputs": as_json(inputs),
            }
        )
        _show_thread(thread, active, runs, len(inputs.inputs), terminal)


def _show_run(found: service_pb.GetRunResponse, terminal: Terminal) -> None:
    run = found.run
    terminal.line((f"run/{run.run_id}", "bold"))
    limit = f" of {run.budget.max_rounds}" if run.budget.max_rounds else ""
    _facts(
        terminal,
        state=_state(run),
        executor=_executor(run),
        agent=f"{run.agent_id}, as of registry version {run.registry_version}",
        thread=run.thread_id,
        pool=run.pool.pool_id,
        parent=run.parent_run_id,
        labels=", ".join(f"{each.name}={each.value}" for each in run.labels),
        submitted=f"{moment(run.create_time)} by {run.submitted_by or 'nobody known'}",
        starts=f"not before {moment(run.not_before_time)}"
        if run.HasField("not_before_time") and not run.HasField("start_time")
        else "",
        started=moment(run.start_time),
        ended=moment(run.end_time),
        deadline="" if run.state == pb.Run.STATE_DONE else moment(run.deadline_time),
        used=f"{run.rounds} model calls{limit}, {tokens(run.usage)}",
    )
    _list(terminal, "calls", map(_call, found.tool_calls[-_CALLS:]))
    _tickets(terminal, found.open_tickets)
    if run.output_text:
        cut = "…" if len(run.output_text) > _TEXT_CHARS else ""
        terminal.prose(
            run.output_text[:_TEXT_CHARS] + cut, lead=[("  answer    ", "dim")], rest=[" " * 12]
        )
    terminal.line(("  every event: ", "dim"), f"runyard watch run {run.run_id}")


def _show_thread(
    thread: pb.Thread,
    active: service_pb.GetActiveRunResponse,
    runs: Sequence[pb.Run],
    unread: int,
    terminal: Terminal,
) -> None:
    terminal.line((f"thread/{thread.thread_id}", "bold"))
    current = active.run
    _facts(
        terminal,
        state=short_name(pb.Thread.State.DESCRIPTOR, thread.state),
        run=f"{current.run_id}, {_state(current)}" if current.run_id else "",
        executor=_executor(current),
        queued=_counted(thread.queued_dispatches, "dispatch", "dispatches"),
        unread=_counted(unread, "input", "inputs"),
        agent=thread.agent_id,
        events=str(thread.head_seq),
        created=moment(thread.create_time),
        used=moment(thread.update_time),
        epoch=f"{thread.epoch}, fence {thread.fence}",
    )
    _tickets(terminal, active.open_tickets)
    lines = (f"{each.run_id}  {moment(each.create_time)}  {_state(each)}" for each in runs)
    _list(terminal, "runs", lines)
    terminal.line(("  what was said: ", "dim"), f"runyard threads {thread.thread_id}")


def _facts(terminal: Terminal, **facts: str) -> None:
    """One line for each that is known."""
    for name, value in facts.items():
        if value:
            terminal.line(value, lead=[(f"  {name:<10}", "dim")], rest=[" " * 12])


def _list(terminal: Terminal, name: str, lines: Iterable[str]) -> None:
    for number, text in enumerate(lines):
        lead = "" if number else name
        terminal.line(text, lead=[(f"  {lead:<10}", "dim")], rest=[" " * 12])


def _tickets(terminal: Terminal, tickets: Sequence[pb.Ticket]) -> None:
    asked = (
        each.question or f"may it call {each.tool_id} with {each.arguments_json}"
        for each in tickets
    )
    _list(terminal, "asks", asked)
    _list(terminal, "decide", (f"runyard decide {each.ticket_id} approve" for each in tickets))


def _state(run: pb.Run) -> str:
    state = _words(pb.Run.State.DESCRIPTOR, run.state)
    if run.state == pb.Run.STATE_DONE:
        end = run.termination
        reason = _words(pb.TerminationReason.DESCRIPTOR, end.reason)
        return ", ".join(each for each in (state, reason, end.error_reason, end.message) if each)
    waits = [_words(pb.WaitingKind.DESCRIPTOR, each.kind) for each in run.waiting_reasons]
    return f"{state} for {', '.join(dict.fromkeys(waits))}" if waits else state


def _executor(run: pb.Run) -> str:
    if not run.HasField("executor"):
        return ""
    executor = run.executor
    until = moment(executor.lease_until_time)
    return f"{executor.instance_id}, fence {executor.fence}, lease until {until}"


def _call(call: pb.ToolInvocation) -> str:
    state = _words(pb.ToolInvocation.State.DESCRIPTOR, call.state)
    again = f", attempt {call.attempt}" if call.attempt > 1 else ""
    return f"{call.tool_id} {state}{again}"


def _words(enum: object, number: int) -> str:
    return short_name(enum, number).replace("_", " ")  # type: ignore[arg-type]  # a descriptor of an enum


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}" if count else ""
