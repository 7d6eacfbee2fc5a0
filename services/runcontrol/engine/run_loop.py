"""One claimed run, from its claim to the point where nobody has to hold it any more."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from opentelemetry.trace import Link

from services.chassis.access.on_behalf import OnBehalfOf, acting_for
from services.chassis.clock import Clock
from services.chassis.errors import DomainError
from services.chassis.telemetry import current_traceparent, link_to, span
from services.chassis.telemetry_names import (
    AGENT_ID,
    LINK_SUSPENDED_BY,
    LINK_TYPE,
    LINK_WAKE_CAUSE,
    RUN_ID,
    THREAD_ID,
)
from services.runcontrol.core.errors import FencedError
from services.runcontrol.core.events import StepReset
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.inference import (
    Draft,
    InferenceError,
    Item,
    Models,
    Question,
    Restarted,
    event_of,
    question_for,
)
from services.runcontrol.core.model import Cause
from services.runcontrol.core.ports import Inbox
from services.runcontrol.core.retrying import Failure, RetryClass
from services.runcontrol.core.specs import Specs
from services.runcontrol.core.stepping import Answer, Ended, Infer, Next, Parked
from services.runcontrol.core.waking import FetchRequest
from services.runcontrol.engine import names
from services.runcontrol.engine.deltas import DeltaWriter, paced

log = logging.getLogger(__name__)


class Wish(Enum):
    """What somebody outside wants of a run that executes."""

    CANCEL = "cancel"
    HAND_BACK = "hand_back"
    ABANDON = "abandon"


@dataclass(eq=False)
class Control:
    """The handle by which a run that executes is told to stop; the last wish counts."""

    _wished: asyncio.Event = field(default_factory=asyncio.Event)
    wish: Wish | None = None

    def ask(self, wish: Wish) -> None:
        self.wish = wish
        self._wished.set()

    async def asked(self) -> None:
        """Return once somebody has a wish."""
        await self._wished.wait()


class RunLoop:
    """Drives claimed runs; holds no state between them."""

    def __init__(self, execution: Execution, models: Models, inbox: Inbox, clock: Clock) -> None:
        self._execution = execution
        self._models = models
        self._inbox = inbox
        self._clock = clock

    async def drive(self, claimed: Claim, control: Control) -> None:
        """Execute until the run parks, ends, fails, is handed back or is somebody else's."""
        run = claimed.run
        attributes = {
            names.OPERATION: "invoke_agent",
            names.AGENT: run.agent_id,
            names.CONVERSATION: run.thread_id,
            names.ATTEMPT: claimed.attempt,
            names.CAUSES: [cause.kind for cause in claimed.causes],
            RUN_ID: run.run_id,
            THREAD_ID: run.thread_id,
            AGENT_ID: run.agent_id,
        }
        with span(
            names.run_span(run.agent_id),
            parent=run.traceparent,
            links=_links(claimed.causes),
            attributes=attributes,
        ) as current:
            with acting_for(OnBehalfOf(run.tenant, run.principal, run.run_id)):
                outcome = await self._drive(claimed, control)
            current.set_attribute(names.OUTCOME, outcome)

    async def _drive(self, claimed: Claim, control: Control) -> str:
        try:
            return await self._until_it_rests(claimed, control)
        except FencedError:
            return "fenced"
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
            return "fenced"
        except DomainError as error:
            # The store is away: the lease runs out and the run is claimed again then.
            log.warning("failure not recorded", extra=_facts(claimed), exc_info=error)
        return f"failed {failure.reason}"

    async def _until_it_rests(self, claimed: Claim, control: Control) -> str:
        following = await self._execution.advance(claimed, current_traceparent())
        while True:
            if control.wish in (Wish.HAND_BACK, Wish.ABANDON) and isinstance(
                following, Infer | FetchRequest
            ):
                return await self._let_go(claimed, control.wish)
            match following:
                case Infer(step):
                    following = await self._step(claimed, step, control)
                case FetchRequest():
                    following = await self._fetch(claimed, following)
                case Parked():
                    return "parked"
                case Ended():
                    return "ended"

    async def _let_go(self, claimed: Claim, wish: Wish) -> str:
        if wish is Wish.HAND_BACK:
            await self._execution.hand_back(claimed)
        return wish.value

    async def _step(self, claimed: Claim, step: int, control: Control) -> Next:
        with span("step", attributes={names.STEP: step, RUN_ID: claimed.run.run_id}):
            trace = current_traceparent()
            specs = claimed.specs
            answer = await self._ask(claimed, control) if specs else None
            if specs is None or answer is None:
                # Interrupted: what it means is in the wish, or in the store.
                if control.wish in (Wish.HAND_BACK, Wish.ABANDON):
                    return Infer(step)
                return await self._execution.advance(claimed, trace)
            return await self._execution.answered(claimed, specs, answer, trace)

    async def _ask(self, claimed: Claim, control: Control) -> Answer | None:
        """The model's answer; None when the run has to stop first."""
        asking = asyncio.ensure_future(self._answer(claimed, _specs(claimed)))
        wished = asyncio.ensure_future(control.asked())
        late = asyncio.ensure_future(self._passed(claimed.run.deadline_at))
        waits: tuple[asyncio.Future[Any], ...] = (asking, wished, late)
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _passed(self, instant: datetime) -> None:
        """Return once ``instant`` has passed, also when the clock was set meanwhile."""
        while (left_s := (instant - self._clock.now()).total_seconds()) > 0:
            await self._clock.sleep(left_s)

    async def _answer(self, claimed: Claim, specs: Specs) -> Answer:
        conversation = await self._execution.conversation(claimed)
        question = question_for(claimed.run, specs, conversation)
        writer = DeltaWriter(lambda kinds: self._execution.record(claimed, kinds), self._clock)
        draft = await self._collect(question, writer)
        await writer.flush()
        if draft.finish_reason is None:
            text = "the stream ended without its last item"
            raise InferenceError(Failure(RetryClass.ERROR, "STREAM_INTERRUPTED", text))
        return Answer(
            draft.message(), draft.finish_reason, draft.usage, writer.covers, draft.model_id
        )

    async def _collect(self, question: Question, writer: DeltaWriter) -> Draft:
        draft = Draft()
        async with (
            self._models.infer(question) as batches,
            aclosing(paced(batches, writer, self._clock)) as pieces,
        ):
            async for batch in pieces:
                for item in batch:
                    draft = draft.add(item)
                    await _tell(item, writer)
        return draft

    async def _fetch(self, claimed: Claim, request: FetchRequest) -> Next:
        trace = current_traceparent()
        run = claimed.run
        messages = await self._inbox.fetch(
            run.principal, run.run_id, request.pool_id, request.message_ids
        )
        await self._execution.fetched(claimed, request, messages, trace)
        return await self._execution.advance(claimed, trace)


async def _tell(item: Item, writer: DeltaWriter) -> None:
    """Pass on what subscribers see; of an answer that is started over they learn first."""
    if isinstance(item, Restarted):
        await writer.flush()
        if writer.covers[0]:
            writer.add(StepReset(writer.covers[0]))
    elif (kind := event_of(item)) is not None:
        writer.add(kind)


def _specs(claimed: Claim) -> Specs:
    if claimed.specs is None:
        raise LookupError("the pinned specification is gone")
    return claimed.specs


def _links(causes: tuple[Cause, ...]) -> list[Link | None]:
    """What woke the run, and where it went to sleep."""
    links: list[Link | None] = []
    for cause in causes:
        kind = LINK_WAKE_CAUSE if cause.kind == "wake" else names.LINK_DECISION
        if cause.kind in ("wake", "decision"):
            links.append(link_to(cause.traceparent, **{LINK_TYPE: kind}))
        links.append(link_to(cause.suspended_traceparent, **{LINK_TYPE: LINK_SUSPENDED_BY}))
    return links


def _facts(claimed: Claim) -> dict[str, object]:
    return {"run_id": claimed.run.run_id, "thread_id": claimed.run.thread_id}
