"""kill -9 at each named moment of run control, pool and router, in the middle of an errand.

Clients repeat what was not answered, under the same keys. At the end nothing acknowledged is lost,
and nothing was done twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import grpc
import pytest

from runyard.pool.v1 import pool_pb2 as pool
from runyard.pool.v1 import pool_service_pb2 as pool_rpc
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as runs
from runyard.runcontrol.v1 import runcontrol_service_pb2 as run_rpc
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.chassis import failpoints
from services.pool.main import SERVICE as POOL
from services.router.main import SERVICE as ROUTER
from services.runcontrol.main import SERVICE as RUNCONTROL
from tests.support import clients
from tests.support.event_order import uncovered_gaps
from tests.support.stack import IMPATIENT, SERVICES, ServerExitedError, Stack
from tests.support.waiting import LIMIT_S

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

T = TypeVar("T")

SWAP = "snapshot.swap"
# Importing a service declares its failpoints.
DEFINITIONS = {"runcontrol": RUNCONTROL, "pool": POOL, "router": ROUTER}
MOMENTS = [
    *((service, name) for service in DEFINITIONS for name in failpoints.names(f"{service}.")),
    ("runcontrol", SWAP),
    ("router", SWAP),
]
_KILLED = -9
# What a caller may meet while a server dies or is away; anything else is a defect.
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
_SEND = '{"pool_id": "errands", "to": {"agent_id": "listener"}, "body": "hello"}'


def agents() -> list[registry.Resource]:
    """One that sends an approved message, then waits for one; and a pool whose home is limited."""
    return [
        clients.builtin_provider(
            "script",
            clients.replying("done", matches="hello back"),
            clients.calling("send", _SEND, tool_results=0),
            clients.calling("wait", '{"pool_id": "errands"}', tool_results=1),
        ),
        clients.builtin_provider("limited", clients.rate_limited()),
        clients.builtin_provider("echo", clients.replying("still here")),
        clients.model("m", "script", tools=True),
        clients.model("limited-model", "limited"),
        clients.model("echo-model", "echo"),
        clients.pool_of("narrow", "limited-model", "echo-model"),
        clients.builtin_tool("send", registry.BUILTIN_TOOL_POOL_SEND, ask=True),
        clients.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT),
        clients.agent("runner", "m", "send", "wait"),
    ]


class Errand:
    """One run from its submission to its end, by clients that repeat until they are answered."""

    def __init__(self, channels: dict[str, grpc.aio.Channel], name: str) -> None:
        self._channels = channels
        self._name = name
        self._listener = f"listener-{name}"
        self._runs = RunControlServiceStub(channels["runcontrol"])
        self._pool = PoolServiceStub(channels["pool"])

    async def run(self) -> None:
        named = clients.builtin_provider(f"of-{self._name}", clients.replying("never asked"))
        version = await clients.apply(self._channels["registry"], named)
        inferred = await self._until_served("router", lambda: self._infer(version))
        assert inferred.text == "still here"
        await self._join()
        run_id = await self._until_served("runcontrol", lambda: self._submit(version))
        await self._decide(run_id)
        await self._answer(run_id)
        events = await self._until_served(
            "runcontrol", lambda: clients.follow_to_end(self._channels["runcontrol"], run_id)
        )
        await self._check(events)
        again = await self._until_served("router", lambda: self._infer(0))
        assert again.decision.member_id == "echo-model"

    async def _infer(self, version: int) -> clients.Inference:
        router = self._channels["router"]
        thread = f"t-{self._name}"
        return await clients.infer(router, "narrow", "hi", thread_id=thread, min_version=version)

    async def _join(self) -> None:
        opening = pool_rpc.OpenPoolRequest(pool_id="errands", request_id=f"open-{self._name}")
        await self._until_served("pool", lambda: self._pool.OpenPool(opening, timeout=30))
        joining = pool_rpc.JoinPoolRequest(
            pool_id="errands", run_id=self._listener, agent_id="listener"
        )
        await self._until_served("pool", lambda: self._pool.JoinPool(joining, timeout=30))

    async def _submit(self, version: int) -> str:
        return await clients.submit(
            self._channels["runcontrol"],
            "runner",
            "go",
            pool_id="errands",
            min_version=version,
            request_id=f"submit-{self._name}",
        )

    async def _decide(self, run_id: str) -> None:
        channel = self._channels["runcontrol"]
        _, opened = await self._until_served(
            "runcontrol", lambda: clients.until(channel, run_id, "ticket_opened")
        )
        decision = run_rpc.SubmitDecisionRequest(
            run_id=run_id,
            ticket_id=opened.ticket_opened.ticket.ticket_id,
            decision_id="decision-1",
            verdict=runs.Verdict(approve=runs.Approve()),
        )
        answer = await self._until_served(
            "runcontrol", lambda: self._runs.SubmitDecision(decision, timeout=30)
        )
        assert answer.outcome in {
            run_rpc.DECISION_OUTCOME_ACCEPTED,
            run_rpc.DECISION_OUTCOME_DUPLICATE,
        }

    async def _answer(self, run_id: str) -> None:
        """Send the run the message that it waits for, or will wait for."""
        body = pool.InlineBody(data=b"hello back", media_type="text/plain")
        message = pool.Message(
            message_id=f"m-{self._name}",
            from_run_id=self._listener,
            to=pool.Address(run_id=run_id),
            idempotency_key=f"answer-{self._name}",
            inline_body=body,
        )
        sending = pool_rpc.SendMessageRequest(pool_id="errands", message=message)
        await self._until_served("pool", lambda: self._pool.SendMessage(sending, timeout=30))

    async def _check(self, events: list[runs.Event]) -> None:
        assert uncovered_gaps(events) == []
        kinds = clients.kinds(events)
        assert events[-1].run_finished.output_text == "done"
        assert kinds.count("run_finished") == kinds.count("ticket_decided") == 1
        assert kinds.count("tool_call_dispatched") == 2  # the message, the wait
        fetching = pool_rpc.FetchInboxRequest(
            pool_id="errands", run_id=self._listener, max_deliveries=10
        )
        inbox = await self._until_served(
            "pool", lambda: self._pool.FetchInbox(fetching, timeout=30)
        )
        assert [each.message.inline_body.data for each in inbox.deliveries] == [b"hello"]

    async def _until_served(self, service: str, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _AWAY:
                    raise
            await self._channels[service].channel_ready()


@asynccontextmanager
async def started(stack: Stack) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    channels = {
        service: grpc.aio.insecure_channel(stack.target(service), options=IMPATIENT)
        for service in SERVICES
    }
    try:
        await stack.start()
        yield channels
    finally:
        for channel in channels.values():
            await channel.close()
        await stack.stop()


async def kill_at(
    stack: Stack, channels: dict[str, grpc.aio.Channel], service: str, name: str
) -> None:
    """Run an errand while the server dies there, and is started again at once."""
    settings = stack.environment.setdefault(service, {})
    variable = f"RUNYARD_{service.upper()}_FAILPOINTS"
    assert await stack.terminate(service) == 0
    # The first snapshot that is shown is the kept one, before the server is ready.
    settings[variable] = f"{name}=kill@2" if name == SWAP else f"{name}=kill"
    errand = asyncio.ensure_future(Errand(channels, f"{service}-{name}".replace(".", "-")).run())
    try:
        await stack.start(service)
    except ServerExitedError:
        stack.processes.pop(service)
    else:
        died = asyncio.ensure_future(stack.processes[service].wait())
        await asyncio.wait({died, errand}, return_when=asyncio.FIRST_COMPLETED)
        if errand.done():
            errand.result()
            # What is written behind a call may come after its end.
            await asyncio.wait({died}, timeout=LIMIT_S)
        assert died.done(), f"{service} passed {name} without being killed"
        assert stack.processes.pop(service).returncode == _KILLED, stack.log(service)
    settings[variable] = ""
    await stack.start(service)
    await errand


async def test_a_kill_at_each_moment(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """On PostgreSQL it takes longer: leases of the killed server have to lapse."""
    # given four servers
    stack = Stack(tmp_path)
    if database_url.startswith("postgresql"):
        emptied = request.getfixturevalue("emptied_schema")
        for service in SERVICES:
            url = emptied(service)
            stack.environment[service] = {f"RUNYARD_{service.upper()}_DATABASE_URL": url}
    async with started(stack) as channels:
        await clients.apply(channels["registry"], *agents())

        # when one of them is killed at a moment, then every errand ends as if it had not been
        for service, name in MOMENTS:
            await kill_at(stack, channels, service, name)
