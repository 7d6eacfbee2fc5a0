"""A service as a real process: what it prints, how it stops, with which code it exits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.channel import streaming
from tests.contract.chassis_grpc.probe import NAME, UNARY, ProbeStub, failure, text
from tests.support.raw_call import raw_call

PATIENCE_S = 20.0


class Child:
    """The process and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[str] = []

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def events(self) -> list[str]:
        return [
            record["message"] for record in self.records if record["logger"] == "services.journal"
        ]

    async def printed(self, part: str) -> str:
        """The next line that contains ``part``."""
        async with asyncio.timeout(PATIENCE_S):
            while line := await self._line():
                if part in line:
                    return line
        raise AssertionError(f"never printed {part!r}:\n" + "\n".join(self.lines))

    async def target(self) -> str:
        """Its address, once it serves."""
        return str(json.loads(await self.printed('"serving"'))["address"])

    async def exit_code(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            while await self._line():
                pass
            return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def _line(self) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().rstrip("\n")
        if line:
            self.lines.append(line)
        return line


@asynccontextmanager
async def _child(**settings: str) -> AsyncIterator[Child]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RUNYARD_")}
    values = {"log_format": "json", **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.chassis_grpc.service_process",
        env={**clean, **{f"RUNYARD_PROBE_{key.upper()}": v for key, v in values.items()}},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    child = Child(process)
    try:
        yield child
    finally:
        await child.end()


async def test_sigterm_drains_in_order_and_exits_with_0_although_watches_are_open() -> None:
    async with (
        _child(drain_grace_s="8") as child,
        grpc.aio.insecure_channel(await child.target()) as channel,
    ):
        # given an open watch of the service and one of its health
        health: Any = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        async with (
            streaming(ProbeStub(channel).watch(text("x"))) as own,
            streaming(health.Watch(health_pb2.HealthCheckRequest(service=NAME))) as watch,
        ):
            await own.read()
            await watch.read()

            # when the process is asked to stop
            asked_s = time.monotonic()
            child.signal(signal.SIGTERM)
            code = await child.exit_code()

            # then it exits well, long before its grace is over
            assert code == 0
            assert time.monotonic() - asked_s < 8

            # and its streams got their last words
            assert (await own.read()).value == "resume"
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING

    assert sorted(child.events[:2]) == ["handed back", "watch ended"]
    assert child.events[2:] == ["loop ended", "store closed"]
    assert child.records[-1]["message"] == "stopped"


async def test_a_second_signal_stops_it_at_once() -> None:
    async with (
        _child(drain_grace_s="600") as child,
        grpc.aio.insecure_channel(await child.target()) as channel,
    ):
        # given a call that never ends, and a drain that waits for it
        call = asyncio.ensure_future(failure(ProbeStub(channel).unary(text("x"))))
        await child.printed('"stuck"')
        child.signal(signal.SIGINT)
        await child.printed('"handed back"')

        # when it is signalled again
        child.signal(signal.SIGTERM)

        # then it exits well, in order
        assert await child.exit_code() == 0
        await call
    assert child.events == ["stuck", "handed back", "stuck ended", "loop ended", "store closed"]


async def test_a_signal_during_the_start_ends_it() -> None:
    async with _child(fault="slow") as child:
        await child.printed('"building"')
        child.signal(signal.SIGTERM)
        assert await child.exit_code() == 0
    assert child.events == ["building", "store closed"]


async def test_it_begins_by_logging_its_effective_settings_without_secrets() -> None:
    url = "postgresql://probe:hunter2@db.example:5432/probe"
    # when a process logs in words, everything there is
    async with _child(database_url=url, log_format="text", log_level="debug") as child:
        await child.printed(" serving ")
        child.signal(signal.SIGTERM)
        await child.exit_code()

    # then the first line has the settings
    (settings,) = (line for line in child.lines if " settings " in line)
    assert "RUNYARD_PROBE_DATABASE_URL=postgresql://probe:***@db.example:5432/probe" in settings
    assert " RUNYARD_PROBE_TOKEN=***" in settings
    assert " RUNYARD_PROBE_DRAIN_GRACE_S=8.0 " in settings
    assert "hunter2" not in "".join(child.lines)

    # and nothing but log records is printed
    assert [line for line in child.lines if not line.startswith("20")] == []


async def test_the_log_quotes_nothing_of_metadata_that_is_no_text() -> None:
    """gRPC would, in a line of its own: a token may stand in it, and a byte too many after it."""
    async with _child(log_format="text", log_level="debug", fault="answers") as child:
        serving = await child.printed(" serving ")
        port = int(serving.partition(" address=127.0.0.1:")[2].split()[0])
        await raw_call(port, UNARY, (b"authorization", b"Bearer ryd_secret\xff"))
        await child.printed(f"rpc_method={UNARY}")
        child.signal(signal.SIGTERM)
        await child.exit_code()
    assert "ryd_secret" not in "".join(child.lines)


async def _refusal(**settings: str) -> str:
    """The one line that a process prints that refuses to start."""
    async with _child(log_level="error", **settings) as child:
        assert await child.exit_code() == 2
    (line,) = child.lines
    return line


async def test_an_unknown_setting_is_one_line_that_names_the_nearest() -> None:
    line = await _refusal(drain_grase_s="5")
    assert line == (
        "runyard probe: unknown setting RUNYARD_PROBE_DRAIN_GRASE_S: "
        "did you mean RUNYARD_PROBE_DRAIN_GRACE_S?"
    )


async def test_a_port_in_use_is_one_line_that_names_the_fix() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = await _refusal(listen=f"127.0.0.1:{port}")
    assert line == (
        f"runyard probe: port {port} is in use by another process: stop it, or set "
        "RUNYARD_PROBE_LISTEN to a free port"
    )


async def test_a_store_that_does_not_open_is_one_line() -> None:
    line = await _refusal(fault="store")
    assert line == "runyard probe: the database is owned by process 7: stop it"


async def test_a_defect_exits_with_1_and_its_traceback_is_in_the_log() -> None:
    async with _child(fault="defect") as child:
        assert await child.exit_code() == 1
    last = child.records[-1]
    assert last["message"] == "the process failed"
    assert "RuntimeError: a defect" in last["exception"]


@pytest.mark.parametrize("place", ["server.built", "server.started"])
async def test_an_armed_failpoint_ends_a_start_at_its_place_and_was_announced(place: str) -> None:
    async with _child(failpoints=f"{place}=kill") as child:
        assert await child.exit_code() == -signal.SIGKILL
    (warning,) = (record for record in child.records if record["level"] == "warning")
    assert warning["message"] == "failpoints are armed: this process fails on purpose"
    assert warning["spec"] == f"{place}=kill"


async def test_a_failpoint_armed_for_the_stop_leaves_the_start_alone() -> None:
    async with _child(failpoints="server.drained=kill") as child:
        await child.target()
        child.signal(signal.SIGTERM)
        assert await child.exit_code() == -signal.SIGKILL
    assert child.events == ["handed back"]


async def test_a_failpoint_that_does_not_exist_is_one_line_that_names_the_nearest() -> None:
    line = await _refusal(failpoints="server.build=kill")
    assert line == "runyard probe: unknown failpoint server.build: did you mean server.built?"


async def test_an_error_at_a_failpoint_during_the_start_is_one_line() -> None:
    line = await _refusal(failpoints="server.started=error")
    assert line == "runyard probe: failpoint server.started was reached"
