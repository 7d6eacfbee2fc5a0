"""The steps of the demo: a failover, an approval, a wake, and the traces of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from runyard.provider.v1 import provider_pb2
from runyard.router.v1 import router_pb2, router_service_pb2
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.chassis.observe import telemetry
from services.chassis.observe.names import (
    LINK_FAILOVER_FROM,
    LINK_SUSPENDED_BY,
    LINK_WAKE_CAUSE,
)
from services.cli.base.exits import CliError
from services.cli.base.terminal import Terminal
from services.cli.demo.followed_run import FollowedRun
from services.cli.manifests.resources import Manifests
from services.cli.registry.applying import apply_resources, show_applied
from services.cli.runs.answer import stream
from services.cli.runs.pools import open_pool
from services.cli.runs.quiet import Quiet
from services.cli.runs.submit import messages
from services.cli.runs.tickets import open_tickets, submit_decision
from services.cli.runs.view import RunView
from services.cli.talk.clients import Clients
from services.cli.talk.command import new_request_id
from services.cli.traces.lookup import load
from services.cli.traces.tree import Trace, link_type
from services.cli.traces.view import show

POOL_ID = "harbour"
REQUEST = "Tell me about the harbour in the morning."
QUESTION = "How many ships are in the harbour?"
# Spans are exported every half second.
TRACE_TIMEOUT_S = 10.0
_TRACE_PAUSE_S = 0.2
# A small real model may not stop by itself.
_MAX_OUTPUT_TOKENS = 200


@dataclass
class DemoSteps:
    """What the demo does; each step leaves what the next one needs.

    Attributes:
        step_timeout_s: No step may take longer.
        version: Of the registry, once the manifests are applied.
    """

    terminal: Terminal
    stubs: Clients
    manifests: Manifests
    data: Path
    flush: Callable[[], None]
    step_timeout_s: float = 20.0
    version: int = 0
    incarnation: str = ""
    runs: dict[str, FollowedRun] = field(default_factory=dict)

    async def run(self) -> None:
        """Every step in order.

        Raises:
            CliError: One failed; the message says which.
        """
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("The quickstart goes into the registry, as one version", self._apply),
            ("A run streams from a model pool whose home is rate limited", self._narrate),
            ("The conversation stays where it moved: its home is not even asked", self._again),
            ("Two agents meet in a pool; what one sends needs a person's consent", self._meet),
            ("One trace from the client to the wake", self._trace),
        ]
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._leave)
            for number, (title, step) in enumerate(steps, start=1):
                self.terminal.line()
                self.terminal.line((f"{number}. {title}", "bold reverse"))
                self.terminal.data({"step": number, "title": title})
                async with self._bounded(f"step {number}"):
                    await step()

    @asynccontextmanager
    async def _bounded(self, name: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.step_timeout_s):
                yield
        except TimeoutError:
            raise CliError(
                f"{name} took longer than {self.step_timeout_s:g} s", reason="TIMEOUT"
            ) from None
        except grpc.aio.AioRpcError as error:
            raise CliError(f"{name}: {error.details()}", reason=error.code().name) from error
        except CliError as error:
            error.message = f"{name}: {error.message}"
            raise

    async def _leave(self) -> None:
        for followed in self.runs.values():
            await followed.leave()

    async def _apply(self) -> None:
        with telemetry.span("runyard apply", parent=""):
            answer = await apply_resources(self.stubs, self.manifests)
        show_applied(answer, self.terminal)
        self.version, self.incarnation = answer.version, answer.incarnation

    async def _narrate(self) -> None:
        narrator = self._submit("narrator", REQUEST, "magenta")
        routed = await narrator.until(lambda event: event.HasField("routed"))
        await narrator.completed()
        if not routed.routed.switched_from_model_id:
            raise CliError("the narrator's call was not moved from its home", reason="NO_FAILOVER")

    async def _again(self) -> None:
        request = router_service_pb2.InferRequest(
            target_id="narration",
            messages=messages("And in the evening?"),
            sampling=provider_pb2.Sampling(max_output_tokens=_MAX_OUTPUT_TOKENS),
            session=router_pb2.Session(thread_id=self.runs["narrator"].thread_id),
            min_registry_version=self.version,
            min_registry_incarnation=self.incarnation,
        )
        with telemetry.span("runyard infer narration", parent=""):
            await stream(self.stubs, request, self.terminal)

    async def _meet(self) -> None:
        await open_pool(self.stubs, POOL_ID)
        self.terminal.line("pool ", (POOL_ID, "bold"), " is open")
        analyst = self._submit("analyst", "Help whoever asks.", "cyan", pool=POOL_ID)
        await analyst.until(_waits_for_a_wake)
        scout = self._submit("scout", QUESTION, "green", pool=POOL_ID)
        asked = await scout.until(lambda event: event.HasField("ticket_opened"))
        await self._approve(asked.ticket_opened.ticket)
        await analyst.until(lambda event: event.HasField("run_woken"))
        await asyncio.gather(analyst.completed(), scout.completed())

    async def _approve(self, ticket: pb.Ticket) -> None:
        waiting = await open_tickets(self.stubs, ticket.run_id)
        if ticket.ticket_id not in {open_ticket.ticket_id for open_ticket in waiting}:
            raise CliError(f"ticket {ticket.ticket_id} is not in the list of open tickets")
        self.terminal.line(("you     ", "bold yellow"), "decide: approve")
        with telemetry.span("runyard decide", parent=""):
            approve = pb.Verdict(approve=pb.Approve())
            await submit_decision(self.stubs, ticket.ticket_id, approve, comment="part of the demo")

    async def _trace(self) -> None:
        narrator = await self._traces("narrator", {LINK_FAILOVER_FROM})
        show(narrator, self.terminal)
        scout = await self._traces("scout", {LINK_WAKE_CAUSE, LINK_SUSPENDED_BY})
        show(scout, self.terminal)

    async def _traces(self, agent: str, link_types: Collection[str]) -> list[Trace]:
        """The traces of an agent's run, once the expected links are in them.

        Raises:
            CliError: They did not come.
        """
        await asyncio.to_thread(self.flush)
        run_id = self.runs[agent].run_id
        for _ in range(int(TRACE_TIMEOUT_S / _TRACE_PAUSE_S)):
            traces = self._load(run_id)
            if _links(traces) >= set(link_types) and not _unanswered(traces):
                return traces
            await asyncio.sleep(_TRACE_PAUSE_S)
        missing = ", ".join(sorted(set(link_types) - _links(traces))) or "the servers' side"
        raise CliError(
            f"the trace of the {agent}'s run {run_id} lacks {missing}", reason="TRACE_INCOMPLETE"
        )

    def _load(self, run_id: str) -> list[Trace]:
        try:
            return load(run_id, self.data)
        except CliError:
            return []

    def _submit(self, agent: str, text: str, style: str, pool: str = "") -> FollowedRun:
        request = service_pb.SubmitRunRequest(
            request_id=new_request_id(),
            agent_id=agent,
            messages=messages(text),
            min_registry_version=self.version,
            min_registry_incarnation=self.incarnation,
        )
        if pool:
            request.pool.CopyFrom(pb.PoolMembership(pool_id=pool))
        self.terminal.line(("you     ", "bold yellow"), f"run {agent}: {text}")
        view = RunView(
            self.terminal, label=f"{agent:<8}", style=style, whole=bool(pool), quiet=Quiet()
        )
        self.runs[agent] = FollowedRun(self.stubs, request, view)
        return self.runs[agent]


def _waits_for_a_wake(event: pb.Event) -> bool:
    return any(reason.kind == pb.WAITING_KIND_WAKE for reason in event.run_parked.reasons)


def _links(traces: list[Trace]) -> set[str]:
    spans = [span for found in traces for span in found.spans()]
    return {link_type(link) for span in spans for link in span.links}


def _unanswered(traces: list[Trace]) -> bool:
    """Whether a call is there and what its server did is still on its way."""
    spans = [span for found in traces for span in found.spans()]
    parents = {span.parent_id for span in spans}
    return any(
        span.kind == "client" and "rpc.method" in span.attributes and span.span_id not in parents
        for span in spans
    )
