"""Streams one answer: finds the attempt whose answer it is, then relays it to the end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

from services.chassis.caller import Principal
from services.content.model import FinishReason
from services.router.core.decision import AttemptOutcome, RouteDecision
from services.router.core.errors import SnapshotMissingError, stream_interrupted, target_not_found
from services.router.core.failures import FINAL, FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Interrupted,
    Item,
    Opened,
    Started,
    UpstreamItem,
    size_bytes,
)
from services.router.core.model import Snapshot
from services.router.core.ports import Snapshots, TimeLeft
from services.router.core.request import InferCommand
from services.router.core.session import session_key
from services.router.engine.attempt import AttemptInProgress
from services.router.engine.routing import Claim
from services.router.engine.tracing import end_route
from services.router.engine.visits import Machinery, Visits, outcome_of

MAX_FRAME_ITEMS = 64
MAX_FRAME_BYTES = 64 * 1024


class StreamInference:
    """Implements ``Inference``; one per process."""

    def __init__(self, snapshots: Snapshots, machinery: Machinery) -> None:
        self._snapshots = snapshots
        self._machinery = machinery

    def answer(
        self, principal: Principal, command: InferCommand, time_left: TimeLeft
    ) -> StreamedAnswer:
        return StreamedAnswer(self, principal, command, time_left)

    async def visits(
        self, principal: Principal, command: InferCommand, time_left: TimeLeft
    ) -> Visits:
        """Route a call, without sending anything yet.

        Raises:
            DomainError: There is no snapshot, not the one asked for, or no such target.
        """
        snapshot = await self._snapshot(command.min_registry_version)
        target = snapshot.targets.get(command.target_id)
        if target is None:
            raise target_not_found(command.target_id)
        call_id = self._machinery.ids.new_id()
        session = command.session
        key = session_key(principal.tenant, session, target.pool.sticky_scope, call_id)
        claim = Claim(target, key, session.run_id)
        return Visits(self._machinery, claim, command, snapshot.version, time_left)

    async def _snapshot(self, min_version: int) -> Snapshot:
        if min_version:
            return await self._snapshots.at_least(min_version)
        current = self._snapshots.current
        if current is None:
            raise SnapshotMissingError("no registry snapshot has arrived yet", retry_after_s=1.0)
        return current


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
        self._visits: Visits | None = None

    @property
    def decision(self) -> RouteDecision | None:
        return None if self._visits is None else self._visits.decision

    async def frames(self) -> AsyncGenerator[Sequence[Item], None]:
        visits = await self._inference.visits(self._principal, self._command, self._time_left)
        self._visits = visits
        ended_by: BaseException | None = None
        try:
            attempt = await visits.until_committed()
            if attempt is None:
                yield [Started(visits.decision, ""), Finished(FinishReason.CONTENT_FILTER)]
                return
            relayed = _relay(visits, attempt)
            try:
                async for frame in relayed:
                    yield frame
            finally:
                await relayed.aclose()
        except BaseException as error:
            ended_by = error
            raise
        finally:
            end_route(visits.route, visits.decision, ended_by)


async def _relay(
    visits: Visits, attempt: AttemptInProgress
) -> AsyncGenerator[Sequence[Item], None]:
    """The committed answer, to its end or to where it breaks; the attempt is settled either way."""
    try:
        items: Sequence[UpstreamItem] = attempt.held
        await _book(visits, attempt)
        started = Started(visits.decision, attempt.response_id)
        for frame in portions([started, *_visible(items)]):
            yield frame
        while not attempt.done:
            items = await attempt.read()
            await _book(visits, attempt)
            for frame in portions(_visible(items)):
                yield frame
    except UpstreamError as error:
        failure = error.failure
        if failure.kind is FailureClass.CONTENT_POLICY:
            await visits.settle(attempt, AttemptOutcome.SUCCEEDED)
            yield [Finished(FinishReason.CONTENT_FILTER)]
            return
        await visits.settle(attempt, AttemptOutcome.INTERRUPTED, failure)
        resumable = failure.kind not in FINAL
        yield [Interrupted(failure.kind, attempt.usage, attempt.text_bytes, resumable)]
        raise stream_interrupted(failure, attempt.record.member_id) from None
    except BaseException as error:
        await visits.settle(attempt, *outcome_of(error))
        raise


async def _book(visits: Visits, attempt: AttemptInProgress) -> None:
    """Give the provider back as soon as its answer is complete, however slow the caller reads."""
    if attempt.done:
        await visits.settle(attempt, AttemptOutcome.SUCCEEDED)


def portions(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in portions that fit a message each; one that is too large goes alone."""
    portion: list[Item] = []
    portion_bytes = 0
    for item in items:
        item_bytes = size_bytes(item)
        full = len(portion) >= MAX_FRAME_ITEMS or portion_bytes + item_bytes > MAX_FRAME_BYTES
        if portion and full:
            yield portion
            portion, portion_bytes = [], 0
        portion.append(item)
        portion_bytes += item_bytes
    if portion:
        yield portion


def _visible(items: Iterable[UpstreamItem]) -> list[Item]:
    return [item for item in items if not isinstance(item, Opened)]
