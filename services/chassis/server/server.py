"""A gRPC server from its binding to its drain, for production and tests alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import grpc

from services.chassis.access.entry import Entry, open_entry, peers_of
from services.chassis.access.policy import MAX_REQUEST_BYTES, Authenticator, check_policy
from services.chassis.clock import Clock, SystemClock
from services.chassis.config.listening import Address, parse_address, refuse_taken
from services.chassis.drain import Drain
from services.chassis.failpoints import failpoint
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.ids import IdSource, Uuid7Source
from services.chassis.server.handlers.arities import Handler
from services.chassis.server.handlers.observing import ACTIVE, CallLog
from services.chassis.server.handlers.served import CallRules, LiveCalls, ServedMethods
from services.chassis.server.housekeeping import housekeeping
from services.chassis.server.service import Build, Chassis, S, Service, Servicer
from services.chassis.startup import StartupRefusedError
from services.chassis.tasks import Tasks

# A handler that the server has cancelled still has to run its ``finally``.
LAST_HANDLER_S = 1.0
# What a handler has answered may still be on its way to a slow reader.
LAST_BYTES_S = 0.5
# The grace that gRPC is given: longer than any. At the end of one it cancels the calls of the
# server, also if another ``stop`` has destroyed that a moment before: a segmentation fault.
_UNLIMITED_S = 86_400.0

_OPTIONS: tuple[tuple[str, int], ...] = (
    # A second server on the port would otherwise succeed in silence and get half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    # The other half of the keepalive pair of ``channel.py``.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A reader that vanished without a word frees its stream within a minute, not after two hours.
    ("grpc.keepalive_time_ms", 45_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)

_BUILT = failpoint("server.built")
_STARTED = failpoint("server.started")
_DRAINED = failpoint("server.drained")

log = logging.getLogger(__name__)


class RunningServer:
    """A bound server.

    Attributes:
        port: The one it got, also when it asked for 0.
        target: How a client on this machine reaches it.
    """

    def __init__(self, server: grpc.aio.Server, address: Address, port: int, service: Service):
        self._server = server
        self._grace_skipped = asyncio.Event()
        self.port = port
        self.target = address.target(port)
        self.service = service

    def skip_grace(self) -> None:
        """Give a drain in progress, or to come, no more time."""
        self._grace_skipped.set()

    async def stop(self, drain: Drain, live: LiveCalls, grace_s: float) -> None:
        """Drain: returns when no handler runs, after ``grace_s`` and a little at the latest."""
        ends_s = _now_s() + grace_s
        log.info("draining", extra={"live_calls": live.count, "grace_s": grace_s})
        # Health reads it too: from here it answers NOT_SERVING.
        drain.start()
        if self.service.hand_back is not None:
            await self._hand_back(self.service.hand_back, grace_s)
        await self._stop_serving(live, ends_s)
        try:
            async with asyncio.timeout(LAST_HANDLER_S):
                await live.idle()
        except TimeoutError:
            log.exception("handlers outlive the server", extra={"live_calls": live.count})

    async def _hand_back(self, hand_back: Callable[[], Awaitable[None]], limit_s: float) -> None:
        try:
            if not await self._within(hand_back(), limit_s):
                log.warning("claimed work was not handed back in time")
        except Exception:
            # Leases run out: what was not handed back is late, not lost.
            log.exception("claimed work was not handed back")

    async def _stop_serving(self, live: LiveCalls, ends_s: float) -> None:
        """Take no more calls and let the running ones finish until ``ends_s``; cut the rest.

        A call that arrives in the very moment is at times accepted by gRPC and given to nobody: it
        would hold up its caller and this stop for the whole grace. So what is left after the last
        handler gets a moment for its last bytes, not the rest of the grace.
        """
        stopping = asyncio.ensure_future(self._server.stop(_UNLIMITED_S))
        while await self._within(live.idle(), max(0.0, ends_s - _now_s())):
            await asyncio.wait({stopping}, timeout=LAST_BYTES_S)
            if stopping.done() or live.count == 0:
                break
        cutting = asyncio.ensure_future(self._server.stop(None))
        await asyncio.wait({stopping, cutting}, timeout=LAST_HANDLER_S)
        for pending in (stopping, cutting):
            pending.cancel()
        await asyncio.gather(stopping, cutting, return_exceptions=True)

    async def _within(self, work: Awaitable[None], limit_s: float) -> bool:
        """Whether ``work`` ended by itself; else it is cancelled."""
        task = asyncio.ensure_future(work)
        skipped = asyncio.ensure_future(self._grace_skipped.wait())
        try:
            await asyncio.wait(
                {task, skipped}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED
            )
            if task.done():
                task.result()
                return True
            return False
        finally:
            for pending in (task, skipped):
                pending.cancel()
            await asyncio.gather(task, skipped, return_exceptions=True)


@asynccontextmanager
async def running(
    settings: S,
    build: Build[S],
    *,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    authenticator: Authenticator | None = None,
) -> AsyncIterator[RunningServer]:
    """Serve for the length of the block, then drain and close everything.

    Raises:
        StartupRefusedError: Unsafe or taken address, unusable credentials, method without a
            policy row.
    """
    address = parse_address(settings.listen)
    clock = clock or SystemClock()
    entry = open_entry(settings, address, clock)
    async with AsyncExitStack() as stack:
        chassis = Chassis(
            clock=clock,
            ids=ids or Uuid7Source(clock),
            drain=Drain(),
            stack=stack,
            tasks=Tasks(clock),
            notifier=LocalNotifier(clock),
            peers=peers_of(settings, clock),
        )
        try:
            service = await build(settings, chassis)
            _BUILT.reach()
            live = LiveCalls()
            served, server = _assembled(
                service,
                chassis,
                live,
                authenticator or entry.authenticator,
                CallLog.of(settings.access_log, settings.slow_call_s),
            )
            stack.enter_context(ACTIVE.observing(served.running))
            port = _bound(server, entry, address, settings.variable("listen"))
            await server.start()
            bound = RunningServer(server, address, port, service)
            try:
                _STARTED.reach()
                yield bound
            finally:
                await bound.stop(chassis.drain, live, settings.drain_grace_s)
                _DRAINED.reach()
        finally:
            await chassis.tasks.close()


def _assembled(
    service: Service,
    chassis: Chassis,
    live: LiveCalls,
    authenticator: Authenticator | None,
    call_log: CallLog,
) -> tuple[ServedMethods, grpc.aio.Server]:
    own = housekeeping(
        [servicer.full_name for servicer in service.servicers],
        service.ready or (lambda: True),
        chassis.drain,
    )
    servicers = [*service.servicers, *own]
    policy = {**service.policy}
    for servicer in servicers:
        policy.update(servicer.policy)
    rules = CallRules(
        domain=service.error_domain,
        policy=policy,
        sizes=service.sizes,
        housekeeping=frozenset(method for servicer in own for method in servicer.policy),
        authenticator=authenticator,
        ids=chassis.ids,
        call_log=call_log,
    )
    handlers = _handlers(servicers)
    check_policy(handlers, policy)
    served = ServedMethods(rules, live, handlers)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((served,))
    return served, server


def _handlers(servicers: Iterable[Servicer]) -> Mapping[str, Handler]:
    """Those that generated code registers for ``servicers``, by the full names of their methods."""
    register = _Register()
    for servicer in servicers:
        servicer.add(cast("grpc.aio.Server", register))
        if servicer.full_name not in register.services:
            raise StartupRefusedError(
                f"the servicer named {servicer.full_name} registered no method under that name"
            )
    return register.handlers


class _Register:
    """Stands in for the server while generated code registers."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.services: set[str] = set()

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Generated code registers the same handlers by name, too."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        self.services.add(service)
        self.handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}


def _bound(server: grpc.aio.Server, entry: Entry, address: Address, variable: str) -> int:
    refuse_taken(address, variable)
    try:
        return entry.bind(server, address)
    except RuntimeError as error:
        raise StartupRefusedError(
            f"cannot listen on {address}: set {variable} to another address"
        ) from error


def _now_s() -> float:
    return asyncio.get_running_loop().time()
