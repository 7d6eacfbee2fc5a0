"""The execution of one claimed run, from its claim until it parks, ends, fails or is stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from opentelemetry.trace import Link

from services.chassis.access.on_behalf import OnBehalfOf, acting_for
from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.observe.names import (
    AGENT_ID,
    LINK_SUSPENDED_BY,
    LINK_TYPE,
    LINK_WAKE_CAUSE,
    RUN_ID,
    THREAD_ID,
)
from services.chassis.observe.telemetry import current_traceparent, link_to, span
from services.chassis.slices import in_slices
from services.runcontrol.core.arguments import refusals
from services.runcontrol.core.errors import FencedError
from services.runcontrol.core.events import StepReset
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.inference import (
    Draft,
    InferenceError,
    Item,
    ModelCall,
    Models,
    Restarted,
    event_of,
    model_call_for,
)
from services.runcontrol.core.model import Cause
from services.runcontrol.core.ports import Inbox
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.stepping import Ended, Infer, ModelAnswer, Next, Parked
from services.runcontrol.core.waking import FetchRequest
from services.runcontrol.engine import telemetry_names
from services.runcontrol.engine.deltas import DeltaWriter, paced
from services.runcontrol.engine.slots import Slots
from services.runcontrol.engine.transcripts import Transcripts

FENCED = "fenced"

log = logging.getLogger(__name__)


_LINK_TYPES: Mapping[str, str] = {
    "wake": LINK_WAKE_CAUSE,
    "decision": telemetry_names.LINK_DECISION,
    "input": telemetry_names.LINK_INPUT,
}


class StopRequest(Enum):
    """How a run that executes is asked to stop.

    CANCEL: end it as cancelled. HAND_BACK: queue it for another server. ABANDON: write nothing
    more, the lease is lost.
    """

    CANCEL = "cancel"
    HAND_BACK = "hand_back"
    ABANDON = "abandon"


@dataclass(eq=False)
class Control:
    """Passes stop requests to a run that executes; the newest request applies."""

    _requested: asyncio.Event = field(default_factory=asyncio.Event)
    request: StopRequest | None = None

    def stop(self, request: StopRequest) -> None:
        self.request = request
        self._requested.set()

    async def stopped(self) -> None:
        """Return once a stop was requested."""
        await self._requested.wait()


class RunLoop:
    """Executes claimed runs.

    Args:
        most_calls: How many calls one answer of a model may ask for.
    """

    def __init__(
        self,
        execution: Execution,
        models: Models,
        inbox: Inbox,
        clock: Clock,
        slots: Slots,
        most_calls: int,
    ) -> None:
        self._execution = execution
        self._transcripts = Transcripts(execution)
        self._models = models
        self._inbox = inbox
        self._clock = clock
        self._slots = slots
        self._most_calls = most_calls

    async def drive(self, claimed: Claim, control: Control) -> None:
        """Execute a run until it parks, ends, fails, is stopped, or has another owner.

        The outcome is an attribute of the span. Failures are recorded, never raised.
        """
        run, began_s = claimed.run, time.monotonic()
        attributes = {
            telemetry_names.OPERATION: "invoke_agent",
            telemetry_names.AGENT: run.agent_id,
            telemetry_names.CONVERSATION: run.thread_id,
            telemetry_names.ATTEMPT: claimed.attempt,
            telemetry_names.CAUSES: [cause.kind for cause in claimed.causes],
            RUN_ID: run.run_id,
            THREAD_ID: run.thread_id,
            AGENT_ID: run.agent_id,
        }
        with span(
            telemetry_names.run_span(run.agent_id),
            parent=run.traceparent,
            links=_links(claimed.causes),
            attributes=attributes,
        ) as current:
            whom = OnBehalfOf(run.tenant, run.principal, run.run_id)
            with acting_for(whom), telemetry_names.ACTIVE.one_more():
                outcome = await self._drive(claimed, control)
            telemetry_names.INVOKED.record_since(
                began_s,
                {telemetry_names.OPERATION: "invoke_agent", telemetry_names.AGENT: run.agent_id},
            )
            if outcome == FENCED:
                telemetry_names.FENCED.add(1)
            current.set_attribute(telemetry_names.OUTCOME, outcome)

    async def _drive(self, claimed: Claim, control: Control) -> str:
        try:
            return await self._execute(claimed, control)
        except FencedError:
            return FENCED
        except InferenceError as error:
            return await self._fail(claimed, error.failure)
        except DomainError as error:
            log.warning("run interrupted", extra=_facts(claimed), exc_info=error)
            kind = RetryClass.THROTTLED
            failure = Failure(kind, error.reason, error.message, error.retry_after_s)
            return await self._fail(claimed, failure)
        except Exception:
            log.exception("run failed", extra=_facts(claimed))
            failure = Failure(RetryClass.ERROR, "INTERNAL", "an internal error, see the log")
            return await self._fail(claimed, failure)

    async def _fail(self, claimed: Claim, failure: Failure) -> str:
        try:
            await self._execution.fail(claimed, failure)
        except FencedError:
            return FENCED
        except DomainError as error:
            # The store is unavailable: the lease lapses, and the run is claimed again.
            log.warning("failure not recorded", extra=_facts(claimed), exc_info=error)
        return f"failed {failure.reason}"

    async def _execute(self, claimed: Claim, control: Control) -> str:
        following: Next | None = None
        while True:
            if control.request in (StopRequest.HAND_BACK, StopRequest.ABANDON) and isinstance(
                following, Infer | FetchRequest | None
            ):
                return await self._stop(claimed, control.request)
            match following:
                case None:
                    following = await self._execution.advance(claimed, current_traceparent())
                case Infer(step):
                    following = await self._step(claimed, step, control)
                case FetchRequest():
                    following = await self._fetch(claimed, following)
                case Parked():
                    return "parked"
                case Ended():
                    return "ended"

    async def _stop(self, claimed: Claim, request: StopRequest) -> str:
        if request is StopRequest.HAND_BACK:
            await self._execution.hand_back(claimed)
        return request.value

    async def _step(self, claimed: Claim, step: int, control: Control) -> Next:
        with span("step", attributes={telemetry_names.STEP: step, RUN_ID: claimed.run.run_id}):
            trace = current_traceparent()
            specs = claimed.specs
            answer = await self._infer(claimed, specs, step, control) if specs else None
            if specs is None or answer is None:
                # A cancel or a passed deadline is in the store: ``advance`` ends the run.
                if control.request in (StopRequest.HAND_BACK, StopRequest.ABANDON):
                    return Infer(step)
                return await self._execution.advance(claimed, trace)
            return await self._execution.commit_answer(claimed, specs, answer, trace)

    async def _infer(
        self, claimed: Claim, specs: Specs, step: int, control: Control
    ) -> ModelAnswer | None:
        """The model's answer; None when a stop request or the deadline came first."""
        answering = asyncio.ensure_future(self._answer(claimed, specs, step))
        requested = asyncio.ensure_future(control.stopped())
        deadline = asyncio.ensure_future(self._sleep_until(claimed.run.deadline_at))
        waits: tuple[asyncio.Future[Any], ...] = (answering, requested, deadline)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return answering.result() if answering.done() else None
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _sleep_until(self, instant: datetime) -> None:
        """Return once ``instant`` has passed, even if the clock is set meanwhile."""
        while (left_s := (instant - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(left_s)

    async def _answer(self, claimed: Claim, specs: Specs, step: int) -> ModelAnswer:
        record = await self._transcripts.read(claimed)
        model_call = model_call_for(claimed.run, specs, record)
        if step == 1 and claimed.attempt == 1:
            since = self._clock.now() - claimed.run.created_at
            telemetry_names.FIRST_REQUEST.record(since.total_seconds())
        writer = DeltaWriter(lambda kinds: self._execution.record(claimed, kinds), self._clock)
        draft = await self._collect(model_call, writer)
        await writer.flush()
        if draft.finish_reason is None:
            text = "the stream ended without its last item"
            raise InferenceError(Failure(RetryClass.ERROR, "STREAM_INTERRUPTED", text))
        message = draft.message()
        asked = message.tool_calls
        refused = await in_slices(lambda: refusals(asked, specs, self._most_calls)) if asked else ()
        return ModelAnswer(
            message, draft.finish_reason, draft.usage, writer.covers, draft.model_id, refused
        )

    async def _collect(self, model_call: ModelCall, writer: DeltaWriter) -> Draft:
        draft = Draft()
        # Its wait for the first token may take long, and takes nothing of the server.
        async with (
            self._slots.waiting_for(model_call.target_id) as answered,
            self._models.infer(model_call) as batches,
            aclosing(paced(batches, writer, self._clock)) as pieces,
        ):
            async for batch in pieces:
                answered()
                draft = await self._take(batch, draft, writer)
        return draft

    async def _take(self, batch: Sequence[Item], draft: Draft, writer: DeltaWriter) -> Draft:
        for item in batch:
            draft = draft.add(item)
            await _record_item(item, writer)
        return draft

    async def _fetch(self, claimed: Claim, request: FetchRequest) -> Next:
        trace = current_traceparent()
        run = claimed.run
        messages = await self._inbox.fetch(
            run.principal, run.run_id, request.pool_id, request.message_ids
        )
        await self._execution.take_wake(claimed, request, messages, trace)
        return await self._execution.advance(claimed, trace)


async def _record_item(item: Item, writer: DeltaWriter) -> None:
    """Add the item's event, if it has one; a restart resets the deltas that were committed."""
    if isinstance(item, Restarted):
        await writer.flush()
        if writer.covers[0]:
            writer.add(StepReset(writer.covers[0]))
    if (kind := event_of(item)) is not None:
        writer.add(kind)


def _links(causes: tuple[Cause, ...]) -> list[Link | None]:
    """Links to the contexts that caused the continuation, and to those in which the waits began."""
    links: list[Link | None] = []
    for cause in causes:
        if kind := _LINK_TYPES.get(cause.kind):
            links.append(link_to(cause.traceparent, **{LINK_TYPE: kind}))
        links.append(link_to(cause.suspended_traceparent, **{LINK_TYPE: LINK_SUSPENDED_BY}))
    return links


def _facts(claimed: Claim) -> dict[str, object]:
    return {"run_id": claimed.run.run_id, "thread_id": claimed.run.thread_id}
