"""Following a run: what was committed after a cursor, then what comes, until it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing

from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.types.v1 import stream_pb2 as stream
from services.chassis.caller import Principal
from services.chassis.clock import Clock
from services.chassis.drain import Drain
from services.chassis.errors import InvalidRequestError, Violation
from services.chassis.feed import Draining, Idle, Items, Page, follow
from services.chassis.feed_ring import FeedRings
from services.chassis.notifier import Notifier
from services.runcontrol.api.cursors import decode_cursor, encode_cursor
from services.runcontrol.api.requests import required_id
from services.runcontrol.api.resources import input_to_pb, instant_to_pb, run_to_pb, ticket_to_pb
from services.runcontrol.core.errors import CursorOutOfRangeError
from services.runcontrol.core.ports import RunView, run_channel
from services.runcontrol.core.runcontrol import RunControl

MAX_ITEMS = 64
MAX_ITEM_BYTES = 64 * 1024

_Item = service.SubscriptionItem


class RunSubscriptions:
    """Streams of runs; holds nothing per subscriber but a cursor.

    Those of one run share what was read last.
    """

    def __init__(self, runs: RunControl, notifier: Notifier, clock: Clock, drain: Drain) -> None:
        self._runs = runs
        self._notifier = notifier
        self._clock = clock
        self._drain = drain
        self._rings: FeedRings[tuple[int, bytes]] = FeedRings(
            seq=lambda event: event[0], size_bytes=lambda event: len(event[1])
        )

    async def follow(
        self, principal: Principal, request: service.SubscribeRunRequest
    ) -> AsyncGenerator[list[_Item], None]:
        """Batches of items, each at most 64 items or about 64 KiB.

        Raises:
            RunNotFoundError, InvalidRequestError, CursorOutOfRangeError.
        """
        run_id = required_id(request.run_id, "run_id")
        view = await self._runs.view(principal, run_id)
        after = _start(request, view)
        if not request.after and request.start == service.SUBSCRIBE_FROM_SNAPSHOT:
            yield [_snapshot(view)]

        async def load(cursor: int) -> Page[tuple[int, bytes]]:
            feed = await self._runs.events(principal, run_id, cursor, MAX_ITEMS)
            newest = feed.events[-1][0] if feed.events else cursor
            return Page(feed.events, newest, feed.finished, more=len(feed.events) == MAX_ITEMS)

        with (
            self._notifier.bell(run_channel(principal.tenant, run_id)) as bell,
            self._rings.joined((principal.tenant, run_id), load) as read,
        ):
            feed = follow(read, bell, after=after, drain=self._drain, clock=self._clock)
            async with aclosing(feed):
                async for each in feed:
                    for batch in self._batches(run_id, each):
                        yield batch

    def _batches(
        self, run_id: str, each: Items[tuple[int, bytes]] | Idle | Draining
    ) -> Iterator[list[_Item]]:
        match each:
            case Items(items):
                yield from _event_batches(run_id, items)
            case Idle(seq):
                cursor = encode_cursor(run_id, seq)
                now = instant_to_pb(self._clock.now())
                beat = stream.Heartbeat(cursor=cursor, server_time=now)
                yield [_Item(cursor=cursor, heartbeat=beat)]
            case Draining(seq):
                cursor = encode_cursor(run_id, seq)
                yield [_Item(cursor=cursor, reconnect=stream.Reconnect(cursor=cursor))]


def _start(request: service.SubscribeRunRequest, view: RunView) -> int:
    """The sequence after which to begin."""
    found: list[Violation] = []
    if request.start not in service.SubscribeFrom.values():
        found.append(Violation("start", f"is not a known value: {int(request.start)}"))
    head, run_id = view.run.event_seq, view.run.run_id
    after = decode_cursor(request.after, run_id, found) if request.after else None
    if found:
        raise InvalidRequestError.of(found)
    if after is None:
        whole = (service.SUBSCRIBE_FROM_UNSPECIFIED, service.SUBSCRIBE_FROM_BEGINNING)
        return 0 if request.start in whole else head
    if after > head:
        text = f"the cursor names event {after}, the newest is {head}"
        raise CursorOutOfRangeError(text, oldest="1", head=str(head), after=str(after))
    return after


def _snapshot(view: RunView) -> _Item:
    seq = view.run.event_seq
    return _Item(
        cursor=encode_cursor(view.run.run_id, seq),
        snapshot=pb.RunSnapshot(
            run=run_to_pb(view.run),
            open_tickets=[ticket_to_pb(ticket) for ticket in view.open_tickets],
            pending_inputs=[input_to_pb(said) for said in view.pending_inputs],
            head_seq=seq,
        ),
    )


def _event_batches(run_id: str, events: Sequence[tuple[int, bytes]]) -> Iterator[list[_Item]]:
    """What is ready travels together, as far as a response may grow."""
    batch: list[_Item] = []
    size_bytes = 0
    for seq, body in events:
        if batch and size_bytes + len(body) > MAX_ITEM_BYTES:
            yield batch
            batch, size_bytes = [], 0
        event = pb.Event.FromString(body)
        batch.append(_Item(cursor=encode_cursor(run_id, seq), event=event))
        size_bytes += len(body)
    yield batch
