"""The probe as a process of its own: ``python -m tests.contract.chassis_grpc.service_process``.

Logs what happens to it, in order, under the logger ``services.journal``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

from google.protobuf.wrappers_pb2 import StringValue
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.chassis import process
from services.chassis.errors import StoreUnavailableError
from services.chassis.server import Chassis, Service
from services.chassis.settings import ServiceSettings
from tests.contract.chassis_grpc.probe import Context, Probe, ProbeSettings, text


class ProcessSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="RUNYARD_PROBE_", frozen=True)

    listen: str = "127.0.0.1:0"
    database_url: str = "sqlite:///unused"
    fault: str = ""
    token: SecretStr = Field(default=SecretStr("hunter2"))


@dataclass
class Journaling:
    fault: str

    def note(self, line: str) -> None:
        logging.getLogger("services.journal").info(line)

    async def prepare(self, chassis: Chassis) -> None:
        if self.fault == "store":
            raise StoreUnavailableError("the database is\nowned by process 7: stop it")
        if self.fault == "defect":
            raise RuntimeError("a defect")
        chassis.stack.callback(self.note, "store closed")
        if self.fault == "slow":
            self.note("building")
            await asyncio.Event().wait()

        async def loop() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.note("loop ended")

        chassis.tasks.start("loop", loop)

        async def watch(request: StringValue, context: Context) -> AsyncIterator[StringValue]:
            try:
                yield text("live")
                await chassis.drain.wait()
                yield text("resume")
            finally:
                self.note("watch ended")

        async def echo(request: StringValue, context: Context) -> StringValue:
            return request

        async def stuck(request: StringValue, context: Context) -> StringValue:
            self.note("stuck")
            try:
                await asyncio.Event().wait()
            finally:
                self.note("stuck ended")
            return request

        unary = echo if self.fault == "answers" else stuck
        self.handlers = Probe(watch=watch, unary=unary, hand_back=self.hand_back)

    async def hand_back(self) -> None:
        self.note("handed back")


async def build(settings: ProcessSettings, chassis: Chassis) -> Service:
    journal = Journaling(settings.fault)
    await journal.prepare(chassis)
    return await journal.handlers.build(ProbeSettings(), chassis)


if __name__ == "__main__":
    sys.exit(process.run(ProcessSettings, build))
