"""The whole suite on this machine: a receiver for spans and four servers under a supervisor."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.cli.base.exits import EXIT_USAGE, CliError
from services.cli.base.services import GRPC_NAMES, SERVICES
from services.cli.local.child import Child
from services.cli.local.plan import Plan
from services.cli.local.supervisor import (
    ChildEvent,
    Listener,
    Supervisor,
    supervised,
    unless_failed,
)
from services.cli.project.files import WORKER as WORKER_FILE
from services.cli.project.files import worker_command
from services.cli.talk.health import wait_serving
from services.cli.traces.receiver import receiving

START_TIMEOUT_S = 60.0
# Callers drain before the servers that they call.
STOP_WAVES: Sequence[Sequence[str]] = (("runcontrol", "pool"), ("router", "registry"))


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack that serves."""

    plan: Plan
    supervisor: Supervisor


@asynccontextmanager
async def running_stack(
    plan: Plan, listener: Listener, project: Path | None = None
) -> AsyncIterator[Stack]:
    """Run everything for the length of the block, which begins when all servers are healthy.

    Args:
        project: Folder whose worker runs beside the servers, if it has one.

    Raises:
        CliError: A server refused to start, did not serve in time, or did not drain.
    """
    _prepare(plan)
    async with receiving(plan.spans, plan.receiver_port):
        children = {name: _child(name, plan, listener) for name in SERVICES}
        waves = STOP_WAVES
        if project is not None and (project / WORKER_FILE).is_file():
            children["worker"] = _worker(project, plan, listener)
            # Before the server that it serves, so that its calls can end.
            waves = (("worker",), *waves)
        supervisor = Supervisor(children, waves, listener)
        async with supervised(supervisor):
            await unless_failed(supervisor, _all_serving(plan))
            yield Stack(plan, supervisor)


def serve_command(service: str) -> list[str]:
    # -P: a folder named services in the current folder must not hide ours.
    return [sys.executable, "-P", "-m", "services.cli.main", "serve", service, "--with-parent"]


def _prepare(plan: Plan) -> None:
    try:
        plan.data.mkdir(parents=True, exist_ok=True)
        for service in SERVICES:
            plan.log(service).parent.mkdir(exist_ok=True)
            plan.log(service).write_bytes(b"")  # a log holds one run of the stack
    except OSError as error:
        raise CliError(
            f"cannot write to {plan.data}: {error.strerror}",
            reason="DATA_FOLDER",
            hint="name a folder that you may write to with --data",
            exit_code=EXIT_USAGE,
        ) from error


def _child(name: str, plan: Plan, listener: Listener) -> Child:
    environment: Mapping[str, str] = plan.environment(name, os.environ)
    return Child(
        name,
        serve_command(name),
        environment,
        plan.log(name),
        lambda line: listener(ChildEvent.LOG, name, line),
    )


def _worker(project: Path, plan: Plan, listener: Listener) -> Child:
    environment = {**os.environ, "RUNYARD_ENDPOINTS": plan.endpoints, "RUNYARD_WITH_PARENT": "1"}
    return Child(
        "worker",
        worker_command(project),
        environment,
        plan.log("worker"),
        lambda line: listener(ChildEvent.LOG, "worker", line),
    )


async def _all_serving(plan: Plan) -> None:
    waits = [
        wait_serving(name, plan.target(name), GRPC_NAMES[name], START_TIMEOUT_S)
        for name in SERVICES
    ]
    await asyncio.gather(*waits)
