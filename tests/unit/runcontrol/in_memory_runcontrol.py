"""A run control without servers: use cases over the memory store, driven step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from services.chassis.errors import DomainError
from services.content.model import (
    Approval,
    EffectClass,
    FinishReason,
    Message,
    Role,
    Text,
    ToolCall,
    Usage,
)
from services.runcontrol.core.arguments import refusals
from services.runcontrol.core.commands import Command, CommandOutcome, CommandResult
from services.runcontrol.core.deciding import DecideCommand, Decisions
from services.runcontrol.core.exchange import Call, Ticket, Verdict, VerdictKind, Wake, WakeStatus
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.injecting import InjectCommand
from services.runcontrol.core.model import (
    Input,
    InputMode,
    PoolMembership,
    Run,
    StoredMessage,
    Termination,
    Thread,
)
from services.runcontrol.core.ports import InputPage
from services.runcontrol.core.runcontrol import CancelCommand, Cancelled, RunControl
from services.runcontrol.core.specs import AgentSpec, Builtin, Catalog, Rule, Specs, ToolSpec
from services.runcontrol.core.steering import (
    InputFilter,
    InterruptCommand,
    Interrupted,
    ReviseCommand,
    Steering,
)
from services.runcontrol.core.stepping import ModelAnswer, Next
from services.runcontrol.core.submission import SubmitCommand, Submitted
from services.runcontrol.core.tickets import Decided
from services.runcontrol.core.tool_workers import ToolWorkers
from services.runcontrol.core.waking import WakeOutcome
from tests.support.callers import LOCAL
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.memory_runcontrol import MemoryStore
from tests.support.memory_tables import Tables

T = TypeVar("T")

ASK_TOOL = "guarded_send"
# Its approval is waited for 60 s.
HASTY_TOOL = "hasty_send"
SEND = ("pool_send", '{"body": "hi", "pool_id": "room"}')
GUARDED_SEND = (ASK_TOOL, '{"body": "hi", "pool_id": "room"}')
QUESTION = ("ask_human", '{"question": "why?"}')
JOINED = CommandResult('{"joined": true}', "c0")


def now(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


def said(text: str) -> Message:
    return Message(Role.USER, (Text(text),))


async def run_until_idle() -> None:
    """Run the tasks until none can go on without time passing."""
    for _ in range(60):
        await asyncio.sleep(0)


def tool(
    tool_id: str, builtin: Builtin | None = None, approval: Approval = Approval.ALLOW
) -> ToolSpec:
    return ToolSpec(tool_id, "", "{}", EffectClass.IDEMPOTENT, approval, builtin, version="v1")


TOOLS = (
    *(tool(b.value, b) for b in Builtin),
    tool(ASK_TOOL, Builtin.POOL_SEND, Approval.ASK),
    replace(tool(HASTY_TOOL, Builtin.POOL_SEND, Approval.ASK), approval_timeout_s=60.0),
    tool("never", Builtin.POOL_SEND, Approval.DENY),
)


def agent(
    *rules: Rule,
    max_rounds: int = 16,
    max_total_tokens: int = 0,
    tools: tuple[ToolSpec, ...] = TOOLS,
) -> Specs:
    ids = tuple(t.tool_id for t in tools)
    limits = (max_rounds, max_total_tokens)
    return Specs(AgentSpec("helper", "model", "be brief", ids, rules, *limits), tools)


class FixedCatalogs:
    """``Catalogs`` with one ``Catalog``, itself; it may be behind.

    Attributes:
        denied: Tools that it denies by now.
        arrived: Whether there is a snapshot.
    """

    version = 7

    def __init__(self, agents: Mapping[str, Specs]) -> None:
        self.agents = dict(agents)
        self.behind: DomainError | None = None
        self.denied: set[str] = set()
        self.arrived = True

    def specs(self, agent_id: str) -> Specs | None:
        return self.agents.get(agent_id)

    def denies(self, agent_id: str, tool_id: str) -> bool:
        return tool_id in self.denied

    def newest(self) -> Catalog | None:
        return self if self.arrived else None

    async def at_least(self, version: int, incarnation: str) -> Catalog:
        if self.behind is not None:
            raise self.behind
        return self


class InMemoryRunControl:
    """Use cases, store, clock; every method is one transaction."""

    def __init__(self, specs: Specs | None = None, store: MemoryStore | None = None) -> None:
        self.clock = ManualClock()
        self.store = store or MemoryStore()
        ids = SequentialIds("id")
        helper = specs or agent()
        other = replace(helper, agent=replace(helper.agent, agent_id="other"))
        self.catalogs = FixedCatalogs({"helper": helper, "other": other})
        self.runs = RunControl(self.store, self.catalogs, self.clock, ids)
        self.decisions = Decisions(self.store, self.clock, ids)
        self.steering = Steering(self.store, self.catalogs, self.clock, ids)
        common = (self.store, self.catalogs, self.clock, ids)
        self.execution = Execution(*common, "server-1", lambda: 1.0)
        self.workers = ToolWorkers(*common)

    def submit(self, **fields: Any) -> Submitted:
        messages = (said(fields.pop("text", "go")),)
        pool = fields.pop("pool", "")
        joins = PoolMembership(pool) if pool else None
        command = SubmitCommand(messages, pool=joins, **{"agent_id": "helper", **fields})
        answer = now(self.runs.submit(LOCAL, command))
        assert isinstance(answer, Submitted)
        return answer

    @property
    def tables(self) -> Tables:
        return self.store.tables

    def claim(self, limit: int = 10) -> list[Claim]:
        return now(self.execution.claim(limit))

    def claim_one(self) -> Claim:
        (claimed,) = self.claim()
        return claimed

    def claim_new(self, **fields: Any) -> Claim:
        """Submit a run and claim it."""
        self.submit(**fields)
        return self.claim_one()

    def advance(self, claimed: Claim) -> Next:
        return now(self.execution.advance(claimed, "trace"))

    def answer(self, claimed: Claim, *calls: tuple[str, str]) -> Next:
        """The model's answer: calls of tools with arguments, or a text."""
        assert claimed.specs is not None
        asked = tuple(ToolCall(f"m{i}", name, args) for i, (name, args) in enumerate(calls))
        message = Message(Role.ASSISTANT, asked or (Text("done"),))
        finish = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
        refused = refusals(message.tool_calls, claimed.specs, 128)
        answer = ModelAnswer(message, finish, Usage(10, 5), (0, 0), "model", refused)
        return now(self.execution.commit_answer(claimed, claimed.specs, answer, "trace"))

    def start(self, *calls: tuple[str, str], **fields: Any) -> tuple[Claim, Next]:
        """Submit, claim and let the model ask for ``calls``."""
        self.submit(**fields)
        return self.execute(*calls)

    def execute(self, *calls: tuple[str, str]) -> tuple[Claim, Next]:
        """Claim a run and let its model ask for ``calls``."""
        claimed = self.claim_one()
        self.advance(claimed)
        return claimed, self.answer(claimed, *calls)

    def in_pool(self, *calls: tuple[str, str], **fields: Any) -> Claim:
        """The same for a run that has joined a pool; it may be parked afterwards."""
        claimed = self.join(**fields)
        self.answer(claimed, *calls)
        return claimed

    def join(self, **fields: Any) -> Claim:
        """Submit a run that joins a pool, and begin its first step."""
        self.advance(self.claim_new(pool="room", **fields))
        self.settle(self.command(), JOINED)
        claimed = self.claim_one()
        self.advance(claimed)
        return claimed

    def command(self, index: int = -1) -> Command:
        """What was put into the outbox last."""
        return self.tables.outbox[index].command

    def settle(self, command: Command, answer: CommandOutcome) -> None:
        now(self.store.write(lambda tx: self.execution.apply_outcome(tx, command, answer)))

    def wake(self, condition_id: str, run_id: str, **fields: Any) -> WakeOutcome:
        given = {
            "pool_id": "room",
            "status": WakeStatus.TRIGGERED,
            "message_ids": (),
            "after": "",
            "summary": "",
            "cause_traceparent": "cause",
            "suspension_traceparent": "",
            **fields,
        }
        arrived = Wake(tenant="", condition_id=condition_id, run_id=run_id, **given)
        answer = now(self.runs.deliver_wake(LOCAL, arrived))
        assert isinstance(answer, WakeOutcome)
        return answer

    def cancel(self, **fields: Any) -> Cancelled:
        answer = now(self.runs.cancel(LOCAL, CancelCommand(**fields)))
        assert isinstance(answer, Cancelled)
        return answer

    def interrupt(self, thread_id: str, text: str = "", **fields: Any) -> Interrupted:
        messages = (said(text),) if text else ()
        command = InterruptCommand(thread_id, messages, **fields)
        answer = now(self.steering.interrupt(LOCAL, command))
        assert isinstance(answer, Interrupted)
        return answer

    def inject(self, mode: InputMode = InputMode.QUEUE, text: str = "more", **fields: Any) -> Input:
        command = InjectCommand((said(text),), mode, **fields)
        answer = now(self.steering.inject(LOCAL, command))
        assert isinstance(answer, Input)
        return answer

    def edit(self, input_id: str, revision: int = 1, text: str = "edited") -> Input:
        command = ReviseCommand(input_id, revision, (said(text),))
        answer = now(self.steering.edit(LOCAL, command))
        assert isinstance(answer, Input)
        return answer

    def retract(self, input_id: str, revision: int = 1) -> Input:
        answer = now(self.steering.retract(LOCAL, ReviseCommand(input_id, revision)))
        assert isinstance(answer, Input)
        return answer

    def pending(self, thread_id: str, limit: int = 200, after: int = 0) -> InputPage:
        return now(self.steering.pending_inputs(LOCAL, InputFilter(thread_id, limit, after)))

    def decide(
        self, kind: VerdictKind, text: str = "", decision_id: str = "d", **fields: Any
    ) -> Decided:
        if not fields.keys() & {"ticket_id", "call_id"}:
            fields["ticket_id"] = self.ticket().ticket_id
        command = DecideCommand(decision_id, Verdict(kind, text), **fields)
        answer = now(self.decisions.decide(LOCAL, command))
        assert isinstance(answer, Decided)
        return answer

    def run(self, run_id: str = "") -> Run:
        runs = self.tables.runs
        return runs["default", run_id] if run_id else list(runs.values())[-1]

    def termination(self, run_id: str = "") -> Termination:
        ended = self.run(run_id).termination
        assert ended is not None
        return ended

    def thread(self) -> Thread:
        (found,) = self.tables.threads.values()
        return found

    def call(self, index: int = -1) -> Call:
        return list(self.tables.calls.values())[index]

    def ticket(self, index: int = -1) -> Ticket:
        return list(self.tables.tickets.values())[index]

    def kinds(self, run_id: str = "") -> list[str]:
        wanted = self.run(run_id).run_id
        found = (e for e in self.tables.events.values() if e.run_id == wanted)
        return [type(e.kind).__name__ for e in found]

    def last_event(self, kind: type[T]) -> T:
        found = [e.kind for e in self.tables.events.values() if isinstance(e.kind, kind)]
        return found[-1]

    def record(self) -> list[StoredMessage]:
        """The record of the thread of the newest run."""
        thread_id = self.run().thread_id
        return now(self.store.read(lambda tx: tx.conversation("default", thread_id, 0)))

    def prompt(self) -> list[Message]:
        return [stored.message for stored in self.record()]

    def input(self, input_id: str) -> Input:
        return self.tables.inputs["default", input_id]
