"""What the use cases need from outside: a store, the registry snapshot and the encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Protocol, TypeAlias, TypeVar

from services.chassis.caller import RequestLog
from services.content.model import Message
from services.runcontrol.core.commands import FetchedMessage
from services.runcontrol.core.events import Event
from services.runcontrol.core.exchange import Call, Decision, Ticket, TicketState, Wake
from services.runcontrol.core.model import Dispatch, Input, Lease, Run, Thread
from services.runcontrol.core.specs import Catalog, Specs
from services.runcontrol.core.work import Work

T = TypeVar("T")


class Codec(Protocol):
    """How content and events are written down; given by main, in the terms of the wire."""

    def encode_event(self, event: Event) -> bytes: ...

    def encode_messages(self, messages: tuple[Message, ...]) -> bytes: ...

    def decode_messages(self, body: bytes) -> tuple[Message, ...]: ...


READY = "ready"
CANCELS = "cancels"

# Tenant, thread and fence.
LeaseKey: TypeAlias = tuple[str, str, int]


def run_channel(tenant: str, run_id: str) -> str:
    """The notifier channel of a run's events."""
    return f"run/{tenant}/{run_id}"


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with what hangs on it, for readers."""

    run: Run
    calls: tuple[Call, ...]
    open_tickets: tuple[Ticket, ...]
    pending_inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    """Encoded events of a run after a cursor, with their sequences.

    Attributes:
        head: The run's newest sequence.
        finished: The run is over and these are its last ones.
    """

    events: tuple[tuple[int, bytes], ...]
    head: int
    finished: bool


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Which tickets to list; empty fields do not narrow it down.

    Attributes:
        after: Position of the last ticket of the page before: instant and id.
    """

    BEGINNING: ClassVar[tuple[datetime, str]] = (datetime(1970, 1, 1, tzinfo=UTC), "")

    run_id: str = ""
    thread_id: str = ""
    states: frozenset[TicketState] = frozenset({TicketState.OPEN})
    limit: int = 50
    after: tuple[datetime, str] = BEGINNING


class ThreadTx(Protocol):
    """The part of a transaction that keeps threads, runs and their queue."""

    def thread(self, tenant: str, thread_id: str) -> Thread | None:
        """The thread, locked for the rest of the transaction."""

    def load(self, tenant: str, run_id: str, now: datetime) -> Work | None:
        """The run with its thread, locked; None when there is no such run."""

    def save(self, before: Work | None, after: Work) -> None:
        """Persist what differs; events, messages and effects of ``after`` are appended.

        ``before`` is what was loaded; None for a new run.
        """

    def head(self, thread: Thread) -> Dispatch | None:
        """First of the thread's queue: the open run's, then by priority, then by arrival."""

    def set_ready(self, thread: Thread, ready_at: datetime | None) -> None:
        """Publish when the thread's head can be claimed; rings the channel of claimers."""

    def run_of_dispatch(self, tenant: str, dispatch_id: str) -> str | None:
        """Id of the run that a dispatch executes."""

    def pin(self, tenant: str, digest: bytes, specs: Specs) -> None:
        """Keep specifications under their digest."""

    def pinned(self, tenant: str, digest: bytes) -> Specs | None:
        """What was kept under a digest; None when it is not there or cannot be read."""


class TicketTx(Protocol):
    """The part of a transaction that keeps tickets, decisions and wakes."""

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None: ...

    def live_tickets(self, tenant: str, run_id: str, call: str) -> list[Ticket]:
        """Open and decided tickets of a run whose call has this id, ours or the model's."""

    def decision(self, tenant: str, ticket_id: str, decision_id: str) -> Decision | None: ...

    def add_decision(self, tenant: str, ticket_id: str, decision: Decision) -> None:
        """Keep a decision; one that was handed in before and did not win is replaced."""

    def waiting_call(self, tenant: str, run_id: str, condition_id: str) -> Call | None:
        """The call of any step that registered this wait."""

    def find_wake(self, tenant: str, pool_id: str, condition_id: str) -> Wake | None:
        """A wake, taken or not."""

    def shown(self, tenant: str, run_id: str, pool_id: str, ids: Iterable[str]) -> frozenset[str]:
        """Which of these messages the run has read."""


class LeaseTx(Protocol):
    """The part of a transaction that keeps leases and finds work."""

    def ready_threads(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Tenant and id of threads whose head can be claimed, longest ready first."""

    def renew(self, instance_id: str, held: frozenset[LeaseKey], until: datetime) -> list[Lease]:
        """Extend those of the named leases that are still the instance's; answer them."""

    def lapsed(self, now: datetime, limit: int) -> list[Lease]:
        """Leases that ran out."""

    def leases(self) -> list[Lease]:
        """Every lease there is."""

    def due_runs(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """Tenant and id of idle runs whose deadline has passed."""


class RunControlTx(ThreadTx, TicketTx, LeaseTx, RequestLog, Protocol):
    """A transaction in progress."""


class RunControlView(Protocol):
    """A consistent snapshot for readers."""

    def view(self, tenant: str, run_id: str) -> RunView | None: ...

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> Feed | None:
        """None when there is no such run."""

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None: ...

    def conversation(self, tenant: str, thread_id: str) -> list[Message]:
        """Every message of a thread, oldest first."""


class RunControlStore(Protocol):
    async def write(self, fn: Callable[[RunControlTx], T]) -> T:
        """Run ``fn`` in a transaction; returns once that is durable."""

    async def read(self, fn: Callable[[RunControlView], T]) -> T:
        """Run ``fn`` on a snapshot."""

    async def list_tickets(self, tenant: str, wanted: TicketFilter) -> list[Ticket]:
        """A page of tickets, oldest first."""


class Catalogs(Protocol):
    """The registry snapshot as it comes in."""

    async def at_least(self, version: int) -> Catalog:
        """A snapshot of this version or a newer one; waits up to 2 s for it.

        Raises:
            DomainError: SNAPSHOT_BEHIND, it did not come.
        """


class Inbox(Protocol):
    """The pool, as far as a run has to ask it something before it goes on."""

    async def fetch(
        self, principal: str, run_id: str, pool_id: str, message_ids: tuple[str, ...]
    ) -> tuple[FetchedMessage, ...]:
        """The named deliveries, as far as they can be had; leased until acknowledged.

        Raises:
            DomainError: The pool cannot be reached now.
        """
