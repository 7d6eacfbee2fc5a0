"""The processes of ``bench_rpc``: a bare server, one of the chassis, a receiver of spans.

    python -m tests.bench.rpc_server bare | chassis | receiver

Each prints its port on a line of its own. For every line it reads it prints the seconds of CPU that
the process has used so far; at the end of its input it ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import grpc

from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.clock import SystemClock
from services.chassis.errors import DomainError, ErrorKind
from services.chassis.observe import logs, telemetry
from services.chassis.server.collecting import collecting, leave_out_what_there_is
from services.chassis.server.loop import run
from services.chassis.server.server import running
from tests.contract.chassis_grpc.probe import UNARY, Probe, ProbeSettings

FRAMES = 200
# The request that ends NOT_FOUND.
REFUSED = "refused"


class MissingError(DomainError):
    """The probe that was asked for does not exist."""

    kind = ErrorKind.NOT_FOUND
    reason = "PROBE_NOT_FOUND"


async def echo(request: str, context: Any) -> str:
    if request == REFUSED:
        raise MissingError("there is no such probe: list them", probe="p-1")
    return request


async def frames(request: str, context: Any) -> AsyncIterator[str]:
    for _ in range(FRAMES):
        yield request


# As most methods of the services: a cap on how long a call may take.
PROBE = Probe(unary=echo, watch=frames, policy={UNARY: MethodPolicy(ANY_ROLE, deadline_cap_s=30.0)})


async def bare() -> None:
    server = grpc.aio.server()
    PROBE.add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await answering()
    await server.stop(0)


async def chassis() -> None:
    exporting = telemetry.setup("bench", os.environ.get("RUNYARD_BENCH_RECEIVER", ""))
    async with collecting(SystemClock()), running(ProbeSettings(), PROBE.build) as server:
        leave_out_what_there_is()
        print(server.port, flush=True)
        await answering()
    exporting.shutdown()


async def answering() -> None:
    """Answer each line of the input with the CPU used, until there are no more."""
    await asyncio.get_running_loop().run_in_executor(None, answer)


def answer() -> None:
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


class Receiver(BaseHTTPRequestHandler):
    """Takes what is exported and drops it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the name that http.server calls
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def receive() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    answer()


def main(arm: str) -> None:
    logs.configure("info", "text", stream=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if arm == "receiver":
        receive()
    else:
        run({"bare": bare, "chassis": chassis}[arm]())


if __name__ == "__main__":
    main(sys.argv[1])
