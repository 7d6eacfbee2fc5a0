"""The ports of the core: the store, the registry snapshot, the pool and the codec."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Protocol, TypeAlias, TypeVar

from services.chassis.caller import RequestLog
from services.content.model import Message
from services.runcontrol.core.commands import FetchedMessage
from services.runcontrol.core.events import Covered, Event
from services.runcontrol.core.exchange import Call, Decision, Ticket, TicketState, Wake
from services.runcontrol.core.limits import DEFAULT_PAGE
from services.runcontrol.core.listing import Lists, ThreadView
from services.runcontrol.core.model import Dispatch, Input, Lease, Run, StoredMessage, Thread
from services.runcontrol.core.specs import Catalog, Specs
from services.runcontrol.core.work import Work
from services.runcontrol.core.worker_calls import CallRef, Worker

T = TypeVar("T")


class Codec(Protocol):
    """Encodes events and messages for the store; ``main`` supplies that of the contract."""

    def encode_event(self, event: Event) -> bytes: ...

    def encode_messages(self, messages: Sequence[Message]) -> bytes: ...

    def decode_messages(self, body: bytes) -> tuple[Message, ...]: ...


# Notifier channels: a thread has work to claim; a cancel of an executing run was requested; leases
# lapsed because their holder died; a call can be given to a worker; a call that a worker has is not
# wanted any more.
READY = "ready"
CANCELS = "cancels"
LAPSED = "lapsed"
CALLS = "calls"
CALLS_ENDED = "calls_ended"

# Tenant, thread id and fence.
LeaseKey: TypeAlias = tuple[str, str, int]
# Tenant and thread id.
ThreadKey: TypeAlias = tuple[str, str]
# Tenant, thread id and run id.
DueRun: TypeAlias = tuple[str, str, str]
# Tenant, thread id, run id and ticket id.
TicketKey: TypeAlias = tuple[str, str, str, str]
# Tenant, thread id, run id and call id.
CallKey: TypeAlias = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """Calls that a worker can take.

    Attributes:
        label: What they require; "" for calls that require none.
        schema_digest: Of the schema of their tool; "" for any.
    """

    tool_id: str
    label: str = ""
    schema_digest: str = ""


@dataclass(frozen=True, slots=True)
class CallView:
    """A call, whose arguments and result may be parts of the whole.

    Attributes:
        arguments_chars: Length of the whole arguments.
        result_chars: Length of the whole result.
    """

    call: Call
    arguments_chars: int
    result_chars: int


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its newest calls, its open tickets and its pending inputs.

    Calls have the beginning of long texts. Inputs that are larger than 1 MiB, with those before
    them, have no messages here.

    Attributes:
        lease: Of the server that executes it; None when none does.
    """

    run: Run
    calls: tuple[CallView, ...]
    open_tickets: tuple[Ticket, ...]
    pending_inputs: tuple[Input, ...]
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """Sequences and encoded bytes of a run's or a thread's events after a cursor, in order.

    Deltas that a later event covers may be missing.

    Attributes:
        head: Its newest sequence.
        finished: The run is done, and no event follows these; never of a thread.
    """

    events: tuple[tuple[int, bytes], ...]
    head: int
    finished: bool


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """Which tickets to list; an empty id matches every ticket.

    Attributes:
        after: Creation time and id of the last ticket of the page before.
    """

    BEGINNING: ClassVar[tuple[datetime, str]] = (datetime(1970, 1, 1, tzinfo=UTC), "")

    run_id: str = ""
    thread_id: str = ""
    states: frozenset[TicketState] = frozenset({TicketState.OPEN})
    limit: int = DEFAULT_PAGE
    after: tuple[datetime, str] = BEGINNING


@dataclass(frozen=True, slots=True)
class TicketChange:
    """A ticket as it is, and the sequence of its newest change."""

    seq: int
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class TicketFeed:
    """Changes after a sequence, in order; ``head`` is the tenant's newest sequence."""

    changes: tuple[TicketChange, ...]
    head: int


@dataclass(frozen=True, slots=True)
class InputPage:
    """Pending inputs of a thread, oldest first; ``more`` = others follow."""

    inputs: tuple[Input, ...]
    more: bool


class Tombstones(Protocol):
    """What is left of deleted threads."""

    def deleted_thread_of(self, tenant: str, run_id: str) -> Thread | None:
        """The deleted thread that the run was on."""


class ThreadTx(Tombstones, Protocol):
    """The part of a transaction for threads, runs and the queue of a thread."""

    def thread(self, tenant: str, thread_id: str) -> Thread | None:
        """The thread, locked for the rest of the transaction."""

    def try_lock(self, tenant: str, thread_id: str) -> bool:
        """Lock an existing thread, unless another transaction has: then False, at once."""

    def load(self, tenant: str, run_id: str, now: datetime, deleted: bool = False) -> Work | None:
        """The run with its thread, which is locked; None when there is no such run.

        Args:
            deleted: Find it also on a thread that is deleted.
        """

    def save(self, before: Work | None, after: Work) -> None:
        """Write what differs, and append the events, messages and effects of ``after``.

        Args:
            before: What was loaded; None for a new run.
        """

    def put_thread(self, thread: Thread) -> None:
        """Write a thread that has no run of this transaction."""

    def queued(self, thread: Thread) -> list[Dispatch]:
        """The queued dispatches of a thread, of every epoch, in the order of ``head``."""

    def input(self, tenant: str, input_id: str) -> Input | None:
        """The input, in any state."""

    def head(self, thread: Thread, now: datetime) -> Dispatch | None:
        """The first queued dispatch: that of the open run, then by priority and arrival those that
        may start at ``now``, then the one that may start first.
        """

    def set_ready(self, thread: Thread, ready_at: datetime | None) -> None:
        """Store when the thread's first dispatch can be claimed; notifies ``READY``."""

    def find_dispatch(self, tenant: str, dispatch_id: str) -> Dispatch | None: ...

    def inputs_of_run(self, tenant: str, run_id: str) -> list[Input]:
        """Every input of the run in any state, in order, with its messages."""

    def run_of_dispatch(self, tenant: str, dispatch_id: str) -> str | None:
        """Id of the run of a dispatch; None when there is no such dispatch."""

    def pin(self, tenant: str, digest: bytes, specs: Specs) -> None:
        """Store specifications under their digest."""

    def pinned(self, tenant: str, digest: bytes) -> Specs | None:
        """The specifications stored under a digest; None when absent or not decodable."""


class TicketTx(Protocol):
    """The part of a transaction for tickets, decisions and wakes."""

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None:
        """The ticket, in any state; None when its thread is deleted."""

    def live_tickets(self, tenant: str, run_id: str, call: str) -> list[Ticket]:
        """Open and decided tickets of a run whose call has this id, the run's or the model's."""

    def decision(self, tenant: str, ticket_id: str, decision_id: str) -> Decision | None: ...

    def expired_tickets(self, now: datetime, limit: int) -> list[TicketKey]:
        """Open tickets whose time has run out; those of locked threads are left out."""

    def add_decision(self, tenant: str, ticket_id: str, decision: Decision) -> None:
        """Store a decision; replaces one with the same id that did not win."""

    def waiting_call(self, tenant: str, run_id: str, condition_id: str) -> Call | None:
        """The call, of any step, that registered the wait with this condition id."""

    def find_wake(self, tenant: str, pool_id: str, condition_id: str) -> Wake | None:
        """The wake with this condition id, whether or not its call has taken it."""

    def shown(self, tenant: str, run_id: str, pool_id: str, ids: Iterable[str]) -> frozenset[str]:
        """Those of the message ids whose messages are part of the run's conversation."""


class LeaseTx(Protocol):
    """The part of a transaction for leases, and the searches of the loops."""

    def ready_tenants(self, now: datetime) -> list[str]:
        """The tenants that have a thread whose first dispatch can be claimed, by name."""

    def ready_threads(self, tenant: str, now: datetime, limit: int) -> list[str]:
        """Ids of such threads of a tenant, longest ready first; locked ones are left out."""

    def executing(self) -> Mapping[str, int]:
        """How many runs of each tenant are executed, by all servers."""

    def renew(self, instance_id: str, held: frozenset[LeaseKey], until: datetime) -> list[Lease]:
        """Extend those of the named leases that are still the instance's; return them.

        One whose row is locked by another transaction is returned, but not extended.
        """

    def lapsed(self, now: datetime, limit: int) -> list[Lease]:
        """Leases that ended before ``now``.

        Those of locked threads are left out, here and in ``due_runs``.
        """

    def leases(self) -> list[Lease]:
        """Every lease."""

    def due_runs(self, now: datetime, limit: int) -> list[DueRun]:
        """Queued and waiting runs whose deadline has passed and is not paused."""


class WorkerTx(Protocol):
    """The part of a transaction for tool workers and the calls they execute."""

    def announce(self, tenant: str, tool_id: str, labels: tuple[str, ...], now: datetime) -> None:
        """Note that a worker with these labels serves a tool."""

    def announced(self, tenant: str, tool_id: str, label: str) -> bool:
        """Whether a worker ever served the tool, with this label unless it is empty."""

    def begin_session(self, tenant: str, worker: Worker, now: datetime) -> int:
        """The number of a new session of the instance, which ends its earlier ones; from 1."""

    def session_epoch(self, tenant: str, instance_id: str) -> int:
        """The number of the newest session of the instance; 0 when there was none."""

    def ready_calls(self, tenant: str, wanted: Wanted, now: datetime, limit: int) -> list[CallKey]:
        """Calls that can be given to a worker, longest ready first."""

    def longest_ready(self, tenant: str, tool_id: str, now: datetime, limit: int) -> list[Call]:
        """Calls of a tool that can be given to a worker of any kind, longest ready first."""

    def keep_late_results(self, call: Call) -> None:
        """Store the late results of a call of any step, and nothing else of it."""

    def probed_calls(self, tenant: str, limit: int) -> list[Call]:
        """Lost calls of which workers are asked what has become of them, longest lost first."""

    def call(self, tenant: str, call_id: str) -> Call | None: ...

    def extend_call(self, tenant: str, ref: CallRef, worker: Worker, until: datetime) -> bool:
        """Extend the lease of an accepted call; False when it is not the worker's any more."""

    def overdue_calls(self, now: datetime, limit: int) -> list[CallKey]:
        """Calls that were not taken, accepted, renewed or ended in time; those of locked threads
        are left out.
        """


class UpkeepTx(Protocol):
    """The part of a transaction for what is deleted later, in slices."""

    def covered(self, until: datetime, limit: int) -> list[Covered]:
        """Ranges that were covered at ``until`` or before, oldest first."""

    def drop_deltas(self, of: Covered, limit: int) -> int | None:
        """Delete up to ``limit`` deltas of a range, which is forgotten once none is left.

        Returns:
            How many; None if another transaction has the range, or had it.
        """

    def unfinished(self, tenant: str, thread_id: str, limit: int) -> list[str]:
        """Ids of the runs of a thread that are not done, oldest first."""

    def count_unfinished(self, tenant: str, thread_id: str) -> int:
        """How many runs of a thread are not done."""

    def tenants(self) -> list[str]:
        """The tenants that have a thread that is not deleted, by name."""

    def idle_threads(self, tenant: str, until: datetime, limit: int) -> list[str]:
        """Ids of threads that have nothing to do and were used last before ``until``, oldest first.

        Deleted ones are left out.
        """

    def deleted_threads(self, limit: int) -> list[ThreadKey]:
        """Deleted threads of which there are rows left."""

    def purge(self, thread: Thread, now: datetime, limit: int, runs: int) -> bool:
        """Delete rows of a thread; whether none is left.

        Up to ``limit`` rows of each kind, of the thread and of each of up to ``runs`` runs.

        The ids of the runs stay, and so do commands that tell others of the end of the runs.
        """


class Tx(ThreadTx, TicketTx, LeaseTx, WorkerTx, UpkeepTx, RequestLog, Protocol):
    """A transaction that reads and writes."""


class Reads(Lists, Tombstones, Protocol):
    """A transaction that only reads, on one snapshot."""

    def view(self, tenant: str, run_id: str) -> RunView | None: ...

    def events(self, tenant: str, run_id: str, after: int, limit: int) -> Feed | None:
        """At most ``limit`` events, and of these as many as fit into a frame; None when there is no
        such run."""

    def thread_events(self, tenant: str, thread_id: str, after: int, limit: int) -> Feed | None:
        """As ``events``, of all runs of a thread, in the thread's order."""

    def ticket(self, tenant: str, ticket_id: str) -> Ticket | None:
        """The ticket, in any state; None when its thread is deleted."""

    def call_view(
        self, tenant: str, run_id: str, call_id: str, arguments_from: int, result_from: int
    ) -> CallView | None:
        """A call of a run, with a part of its arguments and of its result.

        Args:
            arguments_from: Behind how many characters the part of the arguments begins.
        """

    def ticket_head(self, tenant: str) -> int:
        """The sequence of the newest change of a ticket; 0 when there was none."""

    def ticket_changes(self, tenant: str, after: int, limit: int) -> TicketFeed:
        """Tickets whose newest change has a sequence after ``after``, in the order of these.

        Those of deleted threads are left out.
        """

    def pending_inputs(self, tenant: str, thread_id: str, after: int, limit: int) -> InputPage:
        """Pending inputs after a sequence, in order, of at most 1 MiB but at least one.

        One that is larger has no messages here.
        """

    def conversation(self, tenant: str, thread_id: str, after: int) -> list[StoredMessage]:
        """The messages of a thread after the sequence ``after``, oldest first."""

    def thread_view(self, tenant: str, thread_id: str) -> ThreadView | None: ...


class Store(Protocol):
    async def write(self, fn: Callable[[Tx], T]) -> T:
        """Run ``fn`` in a transaction; return its result once the transaction is durable."""

    async def write_first(self, fn: Callable[[Tx], T]) -> T:
        """As ``write``, ahead of the transactions that wait for their turn."""

    async def read(self, fn: Callable[[Reads], T]) -> T:
        """Run ``fn`` on one snapshot; return its result."""

    async def list_tickets(self, tenant: str, wanted: TicketFilter) -> list[Ticket]:
        """A page of tickets, oldest first, without those of deleted threads."""

    async def scrub(self) -> bool:
        """Remove what was deleted from the files of the store; False if it is still in one."""


class Catalogs(Protocol):
    """The registry snapshots that arrive."""

    async def at_least(self, version: int, incarnation: str) -> Catalog:
        """The newest snapshot; waits up to 2 s for one of this version or a newer one.

        Raises:
            DomainError: SNAPSHOT_BEHIND, no such snapshot arrived.
        """

    def newest(self) -> Catalog | None:
        """The newest snapshot; None before the first."""


class Inbox(Protocol):
    """The inboxes of the pool."""

    async def fetch(
        self, principal: str, run_id: str, pool_id: str, message_ids: tuple[str, ...]
    ) -> tuple[FetchedMessage, ...]:
        """Lease those of the named deliveries that have not ended; return them.

        Raises:
            DomainError: The pool did not answer.
        """
