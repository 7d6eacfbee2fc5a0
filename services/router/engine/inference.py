"""Streams one answer: routes the call, makes attempts, and relays the one that commits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

from services.chassis.caller import Principal
from services.chassis.errors import DomainError
from services.chassis.slices import in_slices
from services.content.model import FinishReason
from services.router.core.decision import AttemptOutcome, RouteDecision
from services.router.core.errors import (
    SnapshotMissingError,
    StreamInterruptedError,
    TargetNotFoundError,
)
from services.router.core.explanation import Explanation
from services.router.core.failures import FINAL, Failure, FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Interrupted,
    Item,
    Opened,
    Started,
    StreamReset,
    UpstreamItem,
    size_bytes,
)
from services.router.core.limits import MAX_FRAME_BYTES, MAX_FRAME_ITEMS
from services.router.core.model import Snapshot, Target
from services.router.core.nearest import nearest
from services.router.core.ports import Snapshots, TimeLeft
from services.router.core.request import InferCommand
from services.router.core.session import session_key
from services.router.engine.attempt import AttemptInProgress, outcome_of
from services.router.engine.explaining import explain
from services.router.engine.routed_call import InferenceDependencies, RoutedCall
from services.router.engine.routing_state import RouteRequest
from services.router.engine.tracing import end_route


class StreamInference:
    """Implements ``Inference``; one per process."""

    def __init__(self, snapshots: Snapshots, dependencies: InferenceDependencies) -> None:
        self._snapshots = snapshots
        self._dependencies = dependencies

    def answer(
        self, principal: Principal, command: InferCommand, time_left: TimeLeft
    ) -> StreamedAnswer:
        return StreamedAnswer(self, principal, command, time_left)

    async def route(
        self, principal: Principal, command: InferCommand, time_left: TimeLeft
    ) -> RoutedCall:
        """Route a call, without sending anything yet.

        Raises:
            DomainError: There is no snapshot, not the one asked for, or no such target.
        """
        request, version = await self._request(principal, command)
        return RoutedCall(self._dependencies, request, command, version, time_left)

    async def explain(self, principal: Principal, command: InferCommand) -> Explanation:
        request, version = await self._request(principal, command)
        dependencies = self._dependencies
        return explain(dependencies.routing, request, version, dependencies.clock.now())

    async def _request(
        self, principal: Principal, command: InferCommand
    ) -> tuple[RouteRequest, int]:
        """What a call is routed by, and the version of the snapshot that says so."""
        snapshot = await self._snapshot(command)
        target = await find_target(snapshot, command.target_id)
        call_id = self._dependencies.ids.new_id()
        session = command.session
        if secretive := [m.provider for m in target.members if m.provider.secrets]:
            await self._dependencies.look(secretive)
        key = session_key(principal.tenant, session, target.pool.sticky_scope, call_id)
        return RouteRequest(target, key, session.run_id, command.needs), snapshot.version

    async def _snapshot(self, command: InferCommand) -> Snapshot:
        version, incarnation = command.min_registry_version, command.min_registry_incarnation
        if version or incarnation:
            return await self._snapshots.at_least(version, incarnation)
        return current_snapshot(self._snapshots)


def current_snapshot(snapshots: Snapshots) -> Snapshot:
    """Raises:
    SnapshotMissingError: There is none.
    """
    if snapshots.current is None:
        raise SnapshotMissingError.of()
    return snapshots.current


async def find_target(snapshot: Snapshot, target_id: str) -> Target:
    """Raises:
    TargetNotFoundError: The snapshot has no such model or pool; names those that are like it.
    """
    target = snapshot.targets.get(target_id)
    if target is None:
        near = await in_slices(lambda: nearest(target_id, snapshot.targets))
        raise TargetNotFoundError.of(target_id, near)
    return target


class StreamedAnswer:
    """Implements ``Answer``."""

    def __init__(
        self,
        inference: StreamInference,
        principal: Principal,
        command: InferCommand,
        time_left: TimeLeft,
    ) -> None:
        self._inference = inference
        self._principal = principal
        self._command = command
        self._time_left = time_left
        self._call: RoutedCall | None = None

    @property
    def decision(self) -> RouteDecision | None:
        return None if self._call is None else self._call.decision

    async def frames(self) -> AsyncGenerator[Sequence[Item], None]:
        call = await self._inference.route(self._principal, self._command, self._time_left)
        self._call = call
        ended_by: BaseException | None = None
        try:
            frames = _answer(call)
            try:
                async for frame in frames:
                    yield frame
            finally:
                await frames.aclose()
        except BaseException as error:
            ended_by = error
            raise
        finally:
            end_route(call.route, call.decision, ended_by)


async def _answer(call: RoutedCall) -> AsyncGenerator[Sequence[Item], None]:
    """The answer of the member that begins it; when that one breaks off, of another one if the call
    may start over, from a ``StreamReset`` on.
    """
    attempt, broken_by = await call.committed_attempt(), None
    while attempt is not None:
        relayed = _relay(call, attempt, broken_by)
        try:
            async for frame in relayed:
                yield frame
        except UpstreamError as error:
            broken_by = error.failure
        else:
            return
        finally:
            await relayed.aclose()
        broken = attempt
        try:
            attempt = await call.restarted_attempt(broken, broken_by)
        except DomainError:
            yield [_interrupted(call, broken, broken_by)]
            raise StreamInterruptedError.of(broken_by, broken.member.id) from None
    yield [_opening(call, "", broken_by), Finished(FinishReason.CONTENT_FILTER, call.decision)]


async def _relay(
    call: RoutedCall, attempt: AttemptInProgress, reset_by: Failure | None
) -> AsyncGenerator[Sequence[Item], None]:
    """Relay a committed answer to its end or to its failure; settles the attempt either way.

    Args:
        reset_by: What broke the answer before this one; None when it is the first.

    Raises:
        UpstreamError: It broke off.
    """
    try:
        items: Sequence[UpstreamItem] = attempt.held
        await _settle_when_done(call, attempt)
        opening = _opening(call, attempt.opened.response_id, reset_by)
        for frame in split_into_frames([opening, *_for_caller(items, call)]):
            yield frame
        while not attempt.done:
            items = await attempt.read()
            await _settle_when_done(call, attempt)
            for frame in split_into_frames(_for_caller(items, call)):
                yield frame
    except UpstreamError as error:
        failure = error.failure
        if failure.kind is FailureClass.CONTENT_POLICY:
            await call.settle(attempt, AttemptOutcome.SUCCEEDED)
            yield [Finished(FinishReason.CONTENT_FILTER, call.decision)]
            return
        await call.settle(attempt, AttemptOutcome.INTERRUPTED, failure)
        raise
    except BaseException as error:
        await call.settle(attempt, *outcome_of(error))
        raise


def _interrupted(call: RoutedCall, broken: AttemptInProgress, failure: Failure) -> Interrupted:
    resumable = failure.kind not in FINAL
    return Interrupted(failure.kind, broken.usage, broken.text_bytes, resumable, call.decision)


def _opening(call: RoutedCall, response_id: str, reset_by: Failure | None) -> Started | StreamReset:
    if reset_by is None:
        return Started(call.decision, response_id)
    return StreamReset(reset_by.kind, call.decision, response_id)


async def _settle_when_done(call: RoutedCall, attempt: AttemptInProgress) -> None:
    """Release the connection as soon as the answer is complete, however slow the caller reads."""
    if attempt.done:
        await call.settle(attempt, AttemptOutcome.SUCCEEDED)


def split_into_frames(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Split the items into messages within the limits; a larger item gets a message of its own."""
    frame: list[Item] = []
    frame_bytes = 0
    for item in items:
        item_bytes = size_bytes(item)
        full = len(frame) >= MAX_FRAME_ITEMS or frame_bytes + item_bytes > MAX_FRAME_BYTES
        if frame and full:
            yield frame
            frame, frame_bytes = [], 0
        frame.append(item)
        frame_bytes += item_bytes
    if frame:
        yield frame


def _for_caller(items: Iterable[UpstreamItem], call: RoutedCall) -> list[Item]:
    """The last item of an answer carries the decision; it was settled when that item arrived."""
    return [
        Finished(item.reason, call.decision) if isinstance(item, Finished) else item
        for item in items
        if not isinstance(item, Opened)
    ]
