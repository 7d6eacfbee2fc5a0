"""A run whose calls workers execute, driven step by step."""

from __future__ import annotations

from dataclasses import dataclass

from services.content.model import Approval, EffectClass
from services.runcontrol.core.exchange import Call
from services.runcontrol.core.ports import Wanted
from services.runcontrol.core.specs import ToolSpec
from services.runcontrol.core.tool_workers import Accepted, TakenCall
from services.runcontrol.core.worker_calls import (
    CallRef,
    Outcome,
    ResultOutcome,
    Worker,
)
from tests.support.callers import LOCAL
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, agent, now

WORKER = Worker("clerk", "start-1")
OTHER = Worker("clerk", "start-2")
LOOKUP = ("lookup", '{"order": 4711}')
ONCE = (EffectClass.AT_MOST_ONCE, EffectClass.RECONCILABLE)
TWICE = (EffectClass.PURE, EffectClass.IDEMPOTENT)


@dataclass
class Desk:
    """A run whose model has asked for a call of a worker."""

    system: InMemoryRunControl

    @property
    def call(self) -> Call:
        return self.system.call()

    @property
    def ref(self) -> CallRef:
        return CallRef(self.call.call_id, self.call.attempt, self.call.fence)

    def take(self, worker: Worker = WORKER) -> TakenCall | None:
        keys = now(self.system.workers.waiting("default", Wanted("lookup", self.call.label), 10))
        return now(self.system.workers.take(keys[0], worker)) if keys else None

    def accept(self, ref: CallRef | None = None, worker: Worker = WORKER) -> Accepted:
        return now(self.system.workers.accept("default", worker, ref or self.ref))

    def taken(self) -> CallRef:
        assert self.take() is not None
        return self.ref

    def accepted(self) -> CallRef:
        ref = self.taken()
        assert self.accept(ref).is_owner
        return ref

    def report(self, ref: CallRef, outcome: Outcome) -> ResultOutcome:
        found = now(self.system.workers.report(LOCAL, ref, outcome))
        assert isinstance(found, ResultOutcome)
        return found

    def pass_time(self, seconds: float) -> int:
        self.system.clock.advance(seconds)
        return now(self.system.workers.sweep())


def desk(
    effect: EffectClass = EffectClass.AT_MOST_ONCE, label: str = "", timeout_s: float = 60.0
) -> Desk:
    tool = ToolSpec(
        "lookup", "", "{}", effect, Approval.ALLOW, None, "v1", label=label, timeout_s=timeout_s
    )
    system = InMemoryRunControl(agent(tools=(tool,)))
    labels = (label,) if label else ()
    now(system.workers.begin_session("default", WORKER, ["lookup"], labels))
    system.start(LOOKUP)
    return Desk(system)


def two_calls() -> tuple[InMemoryRunControl, list[CallRef]]:
    """A run with two calls that a worker executes."""
    tool = ToolSpec("lookup", "", "{}", EffectClass.AT_MOST_ONCE, Approval.ALLOW, None, "v1")
    system = InMemoryRunControl(agent(tools=(tool,)))
    now(system.workers.begin_session("default", WORKER, ["lookup"], ()))
    system.start(LOOKUP, LOOKUP)
    refs = []
    for key in now(system.workers.waiting("default", Wanted("lookup"), 10)):
        taken = now(system.workers.take(key, WORKER))
        assert taken is not None
        now(system.workers.accept("default", WORKER, taken.ref))
        refs.append(taken.ref)
    return system, refs
