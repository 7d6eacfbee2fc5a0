"""Interfaces between the core and its adapters, and the one that the API calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from services.chassis.caller import Caller, Principal
from services.content.model import Usage
from services.router.core.decision import RouteDecision
from services.router.core.explanation import Explanation
from services.router.core.items import Item, UpstreamItem
from services.router.core.member_state import MemberState
from services.router.core.model import Member, Provider, Snapshot
from services.router.core.pins import Pin, PinQuery
from services.router.core.request import InferCommand, Prompt
from services.router.core.shared_entry import Entry
from services.router.core.watching import RoutingEvent

# Seconds until the caller's deadline; None when there is none.
TimeLeft: TypeAlias = Callable[[], float | None]
# Finds out off the event loop whether the files have changed that have the secrets of providers.
LookAtSecrets: TypeAlias = Callable[[Iterable[Provider]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """One request to one provider.

    Attributes:
        cache_key: The same for all calls of a session, a hint for prompt caches; empty without
            a session.
    """

    member: Member
    prompt: Prompt
    cache_key: str


class UpstreamStream(Protocol):
    @property
    def counted(self) -> Usage | None:
        """The tokens so far as the provider has counted them, whether read or not; None when it has
        sent no counts.
        """

    async def read(self) -> Sequence[UpstreamItem]:
        """What has arrived since the last read; waits for at least one item.

        ``Opened`` comes first, and again when more is known; ``Finished`` comes last, and nothing
        is read after it.

        Raises:
            UpstreamError: The answer broke off or is malformed.
        """


class ProviderAdapter(Protocol):
    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamStream]:
        """Send the request; entering waits until the provider has accepted it.

        Leaving closes the connection unless the answer was read to its end. Sends one request, and
        another one only without a field that the provider has refused, which costs nothing; applies
        no clock but its own for connecting.

        Raises:
            UpstreamError: The provider refused or could not be reached.
        """


class Snapshots(Protocol):
    @property
    def current(self) -> Snapshot | None:
        """The newest registry version that has arrived, live or stored."""

    async def at_least(self, version: int, incarnation: str) -> Snapshot:
        """A snapshot of that version or a newer one; waits up to 2 s for it.

        Args:
            incarnation: In which ``version`` was counted; empty takes any.

        Raises:
            DomainError: SNAPSHOT_BEHIND.
        """


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of entries that were to be stored.

    Attributes:
        number: Of the last write to the database.
        written: How many writes this one took, up to ``number``.
        locked: Those that somebody has locked, and that were not stored.
    """

    number: int
    written: int
    locked: Sequence[Entry[Any]] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What was written after another write.

    Attributes:
        number: Of the last write that was looked at.
        more: There is more behind it.
    """

    entries: Sequence[Entry[Any]]
    number: int
    more: bool = False


class Store(Protocol):
    """Keeps across restarts what the replicas share.

    Every write of an entry takes a number; numbers become visible in their order.
    """

    async def load(self, most: int) -> News:
        """Everything that has not been forgotten, of each kind the ``most`` that reach furthest;
        what reaches furthest comes last.
        """

    async def save(self, entries: Sequence[Entry[Any]]) -> Saved:
        """Store in one transaction, which waits for no lock of one entry; what is stored already
        and supersedes an entry stays.
        """

    async def news(self, after: int, most: int) -> News:
        """What was written after the write ``after``, from the first write on if the database has
        not come so far: it was put back.
        """

    async def forget(self, before: datetime) -> None:
        """Remove what ended before that instant."""


class Answer(Protocol):
    """One call: iterate ``frames`` once, in ``aclosing``; ``decision`` tells its attempts."""

    @property
    def decision(self) -> RouteDecision | None:
        """As of now; None when the call ended before it was routed."""

    def frames(self) -> AsyncGenerator[Sequence[Item], None]:
        """What to send, in frames that fit a message; nothing before the commit point.

        Raises:
            DomainError: The call failed, or its answer broke off, after an ``Interrupted`` item.
        """


class Inference(Protocol):
    def answer(self, principal: Principal, command: InferCommand, time_left: TimeLeft) -> Answer:
        """Prepare a call; it starts when its frames are iterated."""

    async def explain(self, principal: Principal, command: InferCommand) -> Explanation:
        """What the call would do now; changes nothing.

        Raises:
            DomainError: There is no snapshot, not the one asked for, or no such target.
        """


@dataclass(frozen=True, slots=True)
class StatePage:
    """A page of the routing state of this process.

    Attributes:
        instance_id: Names the process.
        members: On the first page those with something to tell, sorted by target and member.
    """

    instance_id: str
    members: Sequence[MemberState]
    pins: Sequence[Pin]


@dataclass(frozen=True, slots=True)
class WatchFrame:
    """Events of the routing state that are told together, at least one."""

    instance_id: str
    events: Sequence[RoutingEvent]


class StateWatches(Protocol):
    def watch(self, caller: Caller, target_id: str) -> AsyncGenerator[WatchFrame, None]:
        """The whole state as the caller may see it, then every change, until the server drains.

        Args:
            target_id: Only this pool or model; empty for all.

        Raises:
            DomainError: There is no snapshot, or no such target.
        """


class RoutingControl(Protocol):
    """What operators see of the routing state, and change in it.

    Every method raises ``DomainError`` when there is no snapshot, or no such target.
    """

    async def state(self, caller: Caller, query: PinQuery) -> StatePage:
        """A page of the state, with the pins of the caller's tenant."""

    async def reset(self, caller: Caller, target_id: str, member_id: str) -> list[MemberState]:
        """Clear the health of a member, or of every member of the target for an empty
        ``member_id``; answers those members, sorted by id.
        """

    async def unpin(self, caller: Caller, pool_id: str, session: str) -> Pin | None:
        """End the pin of a session of the caller's tenant; answers it, or None for none.

        Args:
            session: As ``SessionKey.name``.
        """

    async def set_cordon(
        self, caller: Caller, target_id: str, member_id: str, *, cordoned: bool
    ) -> MemberState:
        """Begin or end the cordon of a member; answers it."""
