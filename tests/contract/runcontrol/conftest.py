"""Registry, router, run control and pool as real servers in this process, on free ports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from runyard.pool.v1.pool_service_pb2 import OpenPoolRequest
from runyard.pool.v1.pool_service_pb2_grpc import PoolServiceStub
from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.runcontrol.v1 import runcontrol_service_pb2 as service
from runyard.runcontrol.v1.runcontrol_internal_service_pb2_grpc import (
    RunControlInternalServiceStub,
)
from runyard.runcontrol.v1.runcontrol_service_pb2_grpc import RunControlServiceStub
from services.pool.main import SERVICE as POOL
from services.pool.settings import PoolSettings
from services.registry.main import SERVICE as REGISTRY
from services.registry.settings import RegistrySettings
from services.router.main import SERVICE as ROUTER
from services.router.settings import RouterSettings
from services.runcontrol.main import SERVICE as RUNCONTROL
from services.runcontrol.settings import RunControlSettings
from tests.support import clients as s
from tests.support.serving import Served, serving
from tests.support.stack import free_port

LOCAL = "127.0.0.1:0"


class Suite:
    """The four servers; run control can be stopped and started again on its database."""

    def __init__(self, data: Path, urls: Mapping[str, str] | None = None, **common: object) -> None:
        self.data = data
        self.urls = urls or {}
        # Few connections: four servers on one PostgreSQL open these each, and four more.
        self.common: dict[str, Any] = {"listen": LOCAL, "database_connections": 3, **common}
        self.stack = AsyncExitStack()
        self.port = free_port()
        self.served: dict[str, Served] = {}
        self.version = 0
        # The deltas of a run stay while a test reads them, however busy the machine is.
        self.keep_deltas_s = 3_600.0
        self._runcontrol = AsyncExitStack()

    async def start(self, *, max_concurrent_runs: int = 64) -> None:
        try:
            await self._start(max_concurrent_runs)
        except BaseException:
            await self.close()
            raise

    async def _start(self, max_concurrent_runs: int) -> None:
        registry = RegistrySettings(database_url=self._url("registry"), **self.common)
        self.served["registry"] = await self._enter(serving(REGISTRY.build, registry))
        router = RouterSettings(
            database_url=self._url("router"),
            registry_target=self.served["registry"].target,
            **self.common,
        )
        self.served["router"] = await self._enter(serving(ROUTER.build, router))
        pool = PoolSettings(
            database_url=self._url("pool"),
            runcontrol_target=f"127.0.0.1:{self.port}",
            **self.common,
        )
        self.served["pool"] = await self._enter(serving(POOL.build, pool))
        await self.start_runcontrol(max_concurrent_runs=max_concurrent_runs)

    async def start_runcontrol(self, *, max_concurrent_runs: int = 64) -> None:
        settings = self._runcontrol_settings(f"127.0.0.1:{self.port}", max_concurrent_runs)
        self._runcontrol = AsyncExitStack()
        server = serving(RUNCONTROL.build, settings)
        self.served["runcontrol"] = await self._runcontrol.enter_async_context(server)

    def another_runcontrol(self, max_concurrent_runs: int) -> AbstractAsyncContextManager[Served]:
        """A second server on the same database, where that can be shared."""
        return serving(RUNCONTROL.build, self._runcontrol_settings(LOCAL, max_concurrent_runs))

    def _runcontrol_settings(self, listen: str, max_concurrent_runs: int) -> RunControlSettings:
        return RunControlSettings(
            database_url=self._url("runcontrol"),
            registry_target=self.served["registry"].target,
            router_target=self.served["router"].target,
            pool_target=self.served["pool"].target,
            max_concurrent_runs=max_concurrent_runs,
            keep_deltas_s=self.keep_deltas_s,
            # No test waits for a worker that is late: on a busy machine each may be.
            worker_accept_s=60.0,
            worker_lease_s=600.0,
            **{**self.common, "listen": listen},
        )

    async def stop_runcontrol(self) -> None:
        await self._runcontrol.aclose()

    async def restart_runcontrol(self, *, max_concurrent_runs: int = 64) -> None:
        await self.stop_runcontrol()
        await self.start_runcontrol(max_concurrent_runs=max_concurrent_runs)

    async def close(self) -> None:
        await self._runcontrol.aclose()
        await self.stack.aclose()

    def channel(self, service: str) -> grpc.aio.Channel:
        return self.served[service].channel

    @property
    def runs(self) -> RunControlServiceStub:
        return RunControlServiceStub(self.channel("runcontrol"))

    @property
    def wakes(self) -> RunControlInternalServiceStub:
        return RunControlInternalServiceStub(self.channel("runcontrol"))

    @property
    def pools(self) -> PoolServiceStub:
        return PoolServiceStub(self.channel("pool"))

    async def open_pool(self, pool_id: str) -> None:
        await self.pools.OpenPool(OpenPoolRequest(pool_id=pool_id))

    async def apply(self, *resources: registry.Resource) -> None:
        """Apply all; runs that are submitted later require the version that has them."""
        self.version = await s.apply(self.channel("registry"), *resources)

    async def apply_agent(
        self,
        agent_id: str,
        *steps: registry.BuiltinStep,
        tools: Sequence[registry.Resource] = (),
        delta_interval_ms: int = 0,
    ) -> None:
        """Apply an agent with its tools, and a model of its own that answers with ``steps``."""
        provider_id, model_id = f"{agent_id}-provider", f"{agent_id}-model"
        await self.apply(
            s.builtin_provider(provider_id, *steps, delta_interval_ms=delta_interval_ms),
            s.model(model_id, provider_id, tools=bool(tools)),
            *tools,
            s.agent(agent_id, model_id, *(each.tool.id for each in tools)),
        )

    async def apply_waiting_agent(self) -> None:
        """Apply an agent, ``waiting``, that waits for a message nobody sends to pool ``quiet``."""
        await self.open_pool("quiet")
        wait = s.builtin_tool("wait", registry.BUILTIN_TOOL_POOL_WAIT)
        await self.apply_agent("waiting", s.calling("wait", "{}", tool_results=0), tools=[wait])

    async def submit_run(
        self, agent_id: str, text: str = "go", *, pool_id: str = "", **fields: Any
    ) -> service.SubmitRunResponse:
        request = service.SubmitRunRequest(
            agent_id=agent_id,
            pool=pb.PoolMembership(pool_id=pool_id) if pool_id else None,
            **{
                "messages": [s.user_message(text)],
                "min_registry_version": self.version,
                **fields,
            },
        )
        return await self.runs.SubmitRun(request, timeout=s.CALL_TIMEOUT_S)

    async def submit(self, agent_id: str, text: str = "go", **fields: Any) -> str:
        """Submit a run; answer its id."""
        return (await self.submit_run(agent_id, text, **fields)).run_id

    async def submit_to_new_agent(self, *steps: registry.BuiltinStep, **fields: Any) -> str:
        """Apply an agent as ``apply_agent`` does, and submit a run of it; answer the run's id."""
        await self.apply_agent("helper", *steps, **fields)
        return await self.submit("helper")

    async def follow(self, run_id: str, after: bytes = b"") -> list[pb.Event]:
        """The run's events to its end."""
        return await s.follow_to_end(self.channel("runcontrol"), run_id, after)

    async def until(self, run_id: str, kind: str, after: bytes = b"") -> tuple[bytes, pb.Event]:
        """The first event of a kind, with its cursor."""
        return await s.until(self.channel("runcontrol"), run_id, kind, after)

    async def until_parked(self, run_id: str, what: pb.WaitingKind) -> bytes:
        """The cursor of the park in which the run waits for ``what``."""
        return await s.until_parked(self.channel("runcontrol"), run_id, what)

    async def view(self, run_id: str) -> service.GetRunResponse:
        return await self.runs.GetRun(service.GetRunRequest(run_id=run_id))

    async def cancel(self, **target: str) -> service.CancelRunResponse:
        return await self.runs.CancelRun(service.CancelRunRequest(reason="enough", **target))

    async def interrupt(
        self, thread_id: str, text: str = "", **fields: Any
    ) -> service.InterruptThreadResponse:
        messages = [s.user_message(text)] if text else []
        request = service.InterruptThreadRequest(thread_id=thread_id, messages=messages, **fields)
        return await self.runs.InterruptThread(request)

    async def inject(
        self, text: str, mode: pb.InjectMode = pb.INJECT_MODE_QUEUE, **fields: Any
    ) -> service.InjectInputResponse:
        request = service.InjectInputRequest(messages=[s.user_message(text)], mode=mode, **fields)
        return await self.runs.InjectInput(request)

    async def edit(self, input_id: str, text: str, revision: int = 1) -> pb.Input:
        request = service.EditInputRequest(
            input_id=input_id, revision=revision, messages=[s.user_message(text)]
        )
        return (await self.runs.EditInput(request)).input

    async def retract(self, input_id: str, revision: int = 1) -> pb.Input:
        request = service.RetractInputRequest(input_id=input_id, revision=revision)
        return (await self.runs.RetractInput(request)).input

    async def pending(self, thread_id: str, **fields: Any) -> service.ListPendingInputsResponse:
        request = service.ListPendingInputsRequest(thread_id=thread_id, **fields)
        return await self.runs.ListPendingInputs(request)

    async def decide(
        self, verdict: pb.Verdict, decision_id: str = "d-1", **target: Any
    ) -> service.SubmitDecisionResponse:
        request = service.SubmitDecisionRequest(decision_id=decision_id, verdict=verdict, **target)
        return await self.runs.SubmitDecision(request)

    def _url(self, service: str) -> str:
        return self.urls.get(service) or f"sqlite:///{self.data / service}.db"

    async def _enter(self, context) -> Served:  # type: ignore[no-untyped-def]  # any async context
        return await self.stack.enter_async_context(context)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """SQLite, unless the test is marked ``on_both_engines``."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def urls(request: pytest.FixtureRequest, engine: str) -> dict[str, str]:
    """Where each service keeps what it has; empty on SQLite, where it is a file of the test's."""
    if engine == "sqlite":
        return {}
    emptied = request.getfixturevalue("emptied_schema")
    return {name: emptied(name) for name in ("registry", "router", "pool", "runcontrol")}


@pytest_asyncio.fixture
async def suite(tmp_path: Path, urls: dict[str, str]) -> AsyncIterator[Suite]:
    """Four servers on fresh databases."""
    running = Suite(tmp_path, urls)
    await running.start()
    try:
        yield running
    finally:
        await running.close()
