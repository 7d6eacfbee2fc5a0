"""A run control without servers: use cases over the memory store, driven step by step."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from services.chassis.caller import LOCAL_PRINCIPAL, RequestKey
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
from services.runcontrol.core.commands import Answer, Answered, PoolCommand
from services.runcontrol.core.exchange import Call, Ticket, Verdict, VerdictKind, Wake, WakeStatus
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.model import PoolMembership, Run, Thread
from services.runcontrol.core.runcontrol import (
    CancelCommand,
    Cancelled,
    DecideCommand,
    Encoders,
    RunControl,
)
from services.runcontrol.core.specs import (
    AgentSpec,
    Builtin,
    Catalog,
    Rule,
    Specs,
    StaticCatalog,
    ToolSpec,
)
from services.runcontrol.core.stepping import Answer as ModelAnswer
from services.runcontrol.core.stepping import Next
from services.runcontrol.core.submission import SubmitCommand, Submitted
from services.runcontrol.core.tickets import Decided
from services.runcontrol.core.waking import WakeOutcome
from tests.support.clock import ManualClock
from tests.support.ids import SequentialIds
from tests.support.runcontrol_memory import MemoryStore

T = TypeVar("T")

ASK_TOOL = "guarded_send"


def now(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


def tool(
    tool_id: str,
    builtin: Builtin | None = None,
    approval: Approval = Approval.ALLOW,
    effect_class: EffectClass = EffectClass.IDEMPOTENT,
) -> ToolSpec:
    return ToolSpec(tool_id, "", "{}", effect_class, approval, builtin, version="v1")


TOOLS = (
    *(tool(b.value, b) for b in Builtin if b is not Builtin.POOL_CHECK),
    tool(ASK_TOOL, Builtin.POOL_SEND, Approval.ASK),
    tool("never", Builtin.POOL_SEND, Approval.DENY),
    tool("remote"),
)


def agent(
    *rules: Rule,
    max_rounds: int = 16,
    max_total_tokens: int = 0,
    tools: tuple[ToolSpec, ...] = TOOLS,
) -> Specs:
    ids = tuple(t.tool_id for t in tools)
    return Specs(
        AgentSpec("helper", "model", "be brief", ids, rules, max_rounds, max_total_tokens), tools
    )


class FixedCatalogs:
    """``Catalogs`` that never change."""

    def __init__(self, agents: Mapping[str, Specs]) -> None:
        self.catalog = StaticCatalog(7, agents)

    async def at_least(self, version: int) -> Catalog:
        return self.catalog


def _plain(value: object) -> bytes:
    return repr(value).encode()


class World:
    """Use cases, store, clock; every method is one transaction."""

    def __init__(self, specs: Specs | None = None, store: MemoryStore | None = None) -> None:
        self.clock = ManualClock()
        self.store = store or MemoryStore()
        ids = SequentialIds("id")
        catalogs = FixedCatalogs({"helper": specs or agent()})
        encode = Encoders(_plain, _plain, _plain, _plain)
        self.runs = RunControl(self.store, catalogs, self.clock, ids, encode)
        self.execution = Execution(self.store, self.clock, ids, "server-1", lambda: 1.0)

    def submit(self, **fields: Any) -> Submitted:
        request: RequestKey | None = fields.pop("request", None)
        said = fields.pop("text", "go")
        fields.setdefault("agent_id", "helper")
        pool = fields.pop("pool", "")
        command = SubmitCommand(
            messages=(Message(Role.USER, (Text(said),)),),
            pool=PoolMembership(pool) if pool else None,
            **fields,
        )
        answer = now(self.runs.submit(LOCAL_PRINCIPAL, command, request))
        assert isinstance(answer, Submitted)
        return answer

    def claim(self, limit: int = 10) -> list[Claim]:
        return now(self.execution.claim(limit))

    def claim_one(self) -> Claim:
        (claimed,) = self.claim()
        return claimed

    def advance(self, claimed: Claim) -> Next:
        return now(self.execution.advance(claimed, "trace"))

    def answer(self, claimed: Claim, *calls: tuple[str, str], text: str = "") -> Next:
        """The model's answer: text, or calls of tools with arguments."""
        assert claimed.specs is not None
        asked = tuple(ToolCall(f"m{i}", name, args) for i, (name, args) in enumerate(calls))
        said = (Text(text or "done"),) if text or not calls else ()
        message = Message(Role.ASSISTANT, (*said, *asked))
        finish = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
        answer = ModelAnswer(message, finish, Usage(10, 5), (0, 0), "model")
        return now(self.execution.answered(claimed, claimed.specs, answer, "trace"))

    def start(self, *calls: tuple[str, str], **fields: Any) -> tuple[Claim, Next]:
        """Submit, claim and let the model ask for ``calls``."""
        self.submit(**fields)
        claimed = self.claim_one()
        self.advance(claimed)
        return claimed, self.answer(claimed, *calls)

    def in_pool(self, *calls: tuple[str, str], pool: str = "room", **fields: Any) -> Claim:
        """The same for a run that has joined a pool; it may be parked afterwards."""
        self.submit(pool=pool, **fields)
        self.advance(self.claim_one())
        self.settle(self.command(), self.joined())
        claimed = self.claim_one()
        self.advance(claimed)
        self.answer(claimed, *calls)
        return claimed

    def joined(self, cursor: str = "c0") -> Answer:

        return Answered('{"joined": true}', cursor)

    def command(self, index: int = -1) -> PoolCommand:
        """What was put into the outbox last."""
        return self.store.tables.outbox[index].command

    def settle(self, command: PoolCommand, answer: Answer) -> None:
        now(self.store.write(lambda tx: self.execution.settle(tx, command, answer)))

    def wake(self, condition_id: str, run_id: str, **fields: Any) -> WakeOutcome:
        arrived = Wake(
            tenant="",
            pool_id=fields.pop("pool_id", "room"),
            condition_id=condition_id,
            run_id=run_id,
            status=fields.pop("status", WakeStatus.TRIGGERED),
            message_ids=fields.pop("message_ids", ()),
            after=fields.pop("after", ""),
            summary=fields.pop("summary", ""),
            cause_traceparent="cause",
            suspension_traceparent="",
        )
        answer = now(self.runs.deliver_wake(LOCAL_PRINCIPAL, arrived, None))
        assert isinstance(answer, WakeOutcome)
        return answer

    def cancel(self, **fields: Any) -> Cancelled:
        answer = now(self.runs.cancel(LOCAL_PRINCIPAL, CancelCommand(**fields), None))
        assert isinstance(answer, Cancelled)
        return answer

    def decide(
        self, kind: VerdictKind, text: str = "", decision_id: str = "d", **fields: Any
    ) -> Decided:
        verdict = Verdict(kind, text)
        if not fields.keys() & {"ticket_id", "call_id"}:
            fields["ticket_id"] = self.ticket().ticket_id
        command = DecideCommand(decision_id, verdict, **fields)
        answer = now(self.runs.decide(LOCAL_PRINCIPAL, command, None))
        assert isinstance(answer, Decided)
        return answer

    def run(self, run_id: str = "") -> Run:
        runs = self.store.tables.runs
        return runs["default", run_id] if run_id else list(runs.values())[-1]

    def thread(self) -> Thread:
        (found,) = self.store.tables.threads.values()
        return found

    def call(self, index: int = -1) -> Call:
        return list(self.store.tables.calls.values())[index]

    def ticket(self, index: int = -1) -> Ticket:
        return list(self.store.tables.tickets.values())[index]

    def kinds(self, run_id: str = "") -> list[str]:
        wanted = self.run(run_id).run_id
        found = (e for e in self.store.tables.events.values() if e.run_id == wanted)
        return [type(e.kind).__name__ for e in found]

    def last_event(self, kind: type[T]) -> T:
        found = [e.kind for e in self.store.tables.events.values() if isinstance(e.kind, kind)]
        return found[-1]

    def prompt(self) -> list[Message]:
        return now(self.store.read(lambda tx: tx.conversation("default", self.run().thread_id)))

    def forget_specs(self) -> None:
        self.store.tables = replace(self.store.tables, specs={})
