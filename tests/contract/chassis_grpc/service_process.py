"""The probe as a process of its own: ``python -m tests.contract.chassis_grpc.service_process``.

Logs what happens to it, in order, under the logger ``services.journal``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

from pydantic import Field, SecretStr

from services.chassis.access.policy import MethodPolicy
from services.chassis.caller import Role
from services.chassis.errors import StoreUnavailableError
from services.chassis.server import process
from services.chassis.server.service import Chassis, Service
from tests.contract.chassis_grpc.probe import UNARY, Probe, ProbeSettings, echo


class ProcessSettings(ProbeSettings):
    fault: str = ""
    token: SecretStr = Field(default=SecretStr("hunter2"))


def note(line: str) -> None:
    logging.getLogger("services.journal").info(line)


async def wait_for_ever(at_the_end: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        note(at_the_end)


async def hand_back() -> None:
    note("handed back")


async def stuck(request: str, context: Any) -> str:
    note("stuck")
    await wait_for_ever("stuck ended")
    return request


async def build(settings: ProcessSettings, chassis: Chassis) -> Service:
    if settings.fault == "store":
        raise StoreUnavailableError("the database is\nowned by process 7: stop it")
    if settings.fault == "defect":
        raise RuntimeError("a defect")
    chassis.stack.callback(note, "store closed")
    if settings.fault == "slow":
        note("building")
        await asyncio.Event().wait()
    chassis.tasks.start("loop", lambda: wait_for_ever("loop ended"))

    async def watch(request: str, context: Any) -> AsyncIterator[str]:
        try:
            yield "live"
            await chassis.drain.wait()
            yield "resume"
        finally:
            note("watch ended")

    unary = echo if settings.fault == "answers" else stuck
    rows = {UNARY: MethodPolicy(frozenset({Role.OPERATOR}), None)}
    probe = Probe(
        watch=watch,
        unary=unary,
        hand_back=hand_back,
        policy=rows if settings.fault == "operators" else {},
    )
    return await probe.build(settings, chassis)


if __name__ == "__main__":
    sys.exit(process.run(ProcessSettings, build))
