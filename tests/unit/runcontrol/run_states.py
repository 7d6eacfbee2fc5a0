"""Runs of thread ``t`` in each state in which something can be said to them."""

from __future__ import annotations

from services.runcontrol.core.execution import Claim
from services.runcontrol.core.retrying import Failure, RetryClass
from tests.unit.runcontrol.in_memory_runcontrol import (
    GUARDED_SEND,
    QUESTION,
    SEND,
    InMemoryRunControl,
    now,
)

WAIT = ("pool_wait", '{"pool_id": "room"}')


def nothing(system: InMemoryRunControl) -> None:
    """A thread whose only run is over."""
    system.start(thread_id="t")


def queued(system: InMemoryRunControl) -> None:
    system.submit(thread_id="t")


def running(system: InMemoryRunControl) -> Claim:
    claimed = system.claim_new(thread_id="t")
    system.advance(claimed)
    return claimed


def cancelling(system: InMemoryRunControl) -> None:
    claimed = running(system)
    system.cancel(run_id=claimed.run.run_id)


def asking(system: InMemoryRunControl) -> None:
    """A run that waits for the answer to a question."""
    system.start(QUESTION, thread_id="t")


def waiting(system: InMemoryRunControl) -> None:
    """A run that waits for a message in a pool."""
    system.in_pool(WAIT, thread_id="t")


def backing_off(system: InMemoryRunControl) -> None:
    failure = Failure(RetryClass.THROTTLED, "BUSY", "busy", retry_after_s=600.0)
    now(system.execution.fail(running(system), failure))


def guarded(system: InMemoryRunControl) -> None:
    """A run that waits for an approval."""
    system.start(GUARDED_SEND, thread_id="t")


def sending(system: InMemoryRunControl) -> None:
    """A run that waits for the answer to a command."""
    system.start(SEND, thread_id="t")
