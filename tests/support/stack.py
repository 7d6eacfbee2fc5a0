"""Four real server processes on SQLite, each of which a test can kill, stop and start again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICES = ("registry", "pool", "router", "runcontrol")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
# A server that waits for the end of its grace is not back within STOP_TIMEOUT_S.
DRAIN_GRACE_S = 600.0
# By default a server that was not there at first is tried again after a second and more.
IMPATIENT = [(f"grpc.{pause}_reconnect_backoff_ms", 100) for pause in ("initial", "min", "max")]

# Who needs to know whose address.
TARGETS: Mapping[str, Sequence[str]] = {
    "registry": (),
    "router": ("registry",),
    "runcontrol": ("registry", "router", "pool"),
    "pool": ("runcontrol",),
}
GRPC_NAMES: Mapping[str, str] = {
    "registry": "runyard.registry.v1.RegistryService",
    "router": "runyard.router.v1.RouterService",
    "runcontrol": "runyard.runcontrol.v1.RunControlService",
    "pool": "runyard.pool.v1.PoolService",
}


class ServerExitedError(Exception):
    """A server ended before it was ready; the message carries its output."""


def free_port() -> int:
    """A port that no process uses, and that stays free while its server is away.

    Below those the system gives to clients: one that tries a server that is away could connect to
    itself there and keep the port. Each worker of a test run has a range of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + worker % 8 * 1_500
    for port in random.sample(range(first, first + 1_500), 1_500):
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def service_environment(
    service: str, ports: Mapping[str, int], data: Path, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What `runyard serve SERVICE` needs, on top of this process's environment."""
    prefix = f"RUNYARD_{service.upper()}_"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RUNYARD_")}
    targets = {f"{prefix}{t.upper()}_TARGET": f"127.0.0.1:{ports[t]}" for t in TARGETS[service]}
    return {
        **clean,
        f"{prefix}LISTEN": f"127.0.0.1:{ports[service]}",
        f"{prefix}DRAIN_GRACE_S": str(DRAIN_GRACE_S),
        f"{prefix}DATABASE_URL": f"sqlite:///{data / service}.db",
        **targets,
        **(extra or {}),
    }


@dataclass
class Stack:
    """The four processes of one data folder.

    Attributes:
        environment: Extra variables per service, read at its next start.
    """

    data: Path
    ports: dict[str, int] = field(default_factory=lambda: {s: free_port() for s in SERVICES})
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    def target(self, service: str) -> str:
        return f"127.0.0.1:{self.ports[service]}"

    def log(self, service: str) -> str:
        path = self.data / f"{service}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    async def start(self, *services: str) -> None:
        """Start servers and return when health says SERVING."""
        for service in services or SERVICES:
            await self._spawn(service)
        for service in services or SERVICES:
            await self._serving(service)

    async def _spawn(self, service: str) -> None:
        with (self.data / f"{service}.log").open("ab") as log:
            self.processes[service] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.cli.main",
                "serve",
                service,
                env=service_environment(
                    service, self.ports, self.data, self.environment.get(service)
                ),
                stdout=log,
                stderr=log,
            )

    async def _serving(self, service: str) -> None:
        process = self.processes[service]
        async with grpc.aio.insecure_channel(self.target(service), options=IMPATIENT) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(  # type: ignore[no-untyped-call]  # shipped untyped
                health_pb2.HealthCheckRequest(service=GRPC_NAMES[service]),
                wait_for_ready=True,
                timeout=START_TIMEOUT_S,
            )
            died = asyncio.ensure_future(process.wait())
            ready = asyncio.ensure_future(_first_serving(watch))
            try:
                await asyncio.wait({died, ready}, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done() or ready.exception():
                    # A connection that broke: the process that held it may be about to end.
                    await asyncio.wait({died}, timeout=STOP_TIMEOUT_S)
                if died.done():
                    raise ServerExitedError(f"{service} exited:\n{self.log(service)}")
                ready.result()
            finally:
                watch.cancel()
                for waiter in (died, ready):
                    waiter.cancel()
                await asyncio.gather(died, ready, return_exceptions=True)

    async def kill(self, service: str) -> None:
        """kill -9: the process gets no chance to do anything."""
        process = self.processes.pop(service)
        process.kill()
        await process.wait()

    async def terminate(self, service: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; answer the exit code."""
        process = self.processes.pop(service)
        process.send_signal(number)
        return await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)

    async def stop(self) -> None:
        for service in reversed(list(self.processes)):
            process = self.processes.pop(service)
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()

    @contextlib.asynccontextmanager
    async def channel(self, service: str) -> AsyncIterator[grpc.aio.Channel]:
        async with grpc.aio.insecure_channel(self.target(service)) as channel:
            yield channel


async def _first_serving(watch: grpc.aio.UnaryStreamCall) -> None:  # type: ignore[type-arg]  # not subscriptable at run time
    async for answer in watch:
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return


@contextlib.contextmanager
def exported(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the length of the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.asynccontextmanager
async def running_stack(data: Path) -> AsyncIterator[Stack]:
    stack = Stack(data)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()
