"""A service as a real process: what it prints, how it stops, with which code it exits."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.chassis.calls.streaming import streaming
from tests.contract.chassis_grpc.probe import NAME, UNARY, ProbeStub, failure
from tests.support.raw_call import raw_call
from tests.support.waiting import within_limit


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
        async with within_limit():
            while line := await self._line():
                if part in line:
                    return line
        raise AssertionError(f"never printed {part!r}:\n" + "\n".join(self.lines))

    async def target(self) -> str:
        """Its address, once it serves."""
        return str(json.loads(await self.printed('"serving"'))["address"])

    async def terminate(self) -> int:
        """Send SIGTERM; return the exit code."""
        self.signal(signal.SIGTERM)
        return await self.exit_code()

    async def exit_code(self) -> int:
        async with within_limit():
            while await self._line():
                pass
            return await self._process.wait()

    @property
    def peak_bytes(self) -> int:
        """The most memory that the process has had so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        (line,) = (each for each in status.splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

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
    loop = os.environ.get("TEST_EVENT_LOOP", "auto")
    values = {"log_format": "json", "event_loop": loop, **settings}
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
        _child(drain_grace_s="3600") as child,
        grpc.aio.insecure_channel(await child.target()) as channel,
    ):
        # given an open watch of the service and one of its health
        stub = ProbeStub(channel)
        async with (
            streaming(stub.watch("x")) as own,
            streaming(stub.health.Watch(health_pb2.HealthCheckRequest(service=NAME))) as watch,
        ):
            await own.read()
            await watch.read()

            # when the process is asked to stop
            code = await child.terminate()

            # then it exits well, and has not waited for the end of its grace
            assert code == 0

            # and its streams got their last messages
            assert await own.read() == "resume"
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING

    assert sorted(child.events[:2]) == ["handed back", "watch ended"]
    assert child.events[2:] == ["loop ended", "store closed"]
    assert child.records[-1]["message"] == "stopped"


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([], id="no token"),
        pytest.param([("authorization", "Bearer forged")], id="forged token"),
        pytest.param([("authorization", "Bearer a"), ("authorization", "Bearer b")], id="two"),
        pytest.param([("authorization", "Bearer ryd_wrong-role")], id="wrong role"),
    ],
)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
async def test_what_a_refused_caller_sends_is_not_read(
    metadata: list[tuple[str, str]], tmp_path: Path
) -> None:
    # given a process that takes tokens, of which one has no role for the method
    digest = hashlib.sha256(b"ryd_wrong-role").hexdigest()
    tokens = tmp_path / "tokens"
    tokens.write_text(f"sha256:{digest} name=vera roles=viewer\n", encoding="utf-8")
    async with (
        _child(token_file=str(tokens), fault="operators", drain_grace_s="0") as child,
        grpc.aio.insecure_channel(await child.target()) as channel,
    ):
        stub = ProbeStub(channel)
        refusals = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
        refusals.add(grpc.StatusCode.INVALID_ARGUMENT)
        assert (await failure(stub.unary("x", metadata=metadata))).code() in refusals
        before_bytes = child.peak_bytes

        # when callers that it refuses send 12 MB each, many at a time
        large = "x" * 12_000_000
        calls = [failure(stub.unary(large, metadata=metadata)) for _ in range(12)]
        codes = {error.code() for error in await asyncio.gather(*calls)}

        # then they are refused, and the process has not held what they sent
        assert codes <= refusals
        assert child.peak_bytes - before_bytes < 50_000_000


async def test_a_second_signal_stops_it_at_once() -> None:
    async with (
        _child(drain_grace_s="600") as child,
        grpc.aio.insecure_channel(await child.target()) as channel,
    ):
        # given a call that never ends, and a drain that waits for it
        call = asyncio.ensure_future(failure(ProbeStub(channel).unary("x")))
        await child.printed('"stuck"')
        child.signal(signal.SIGINT)
        await child.printed('"handed back"')

        # when it is signalled again, then it exits well, in order
        assert await child.terminate() == 0
        await call
    assert child.events == ["stuck", "handed back", "stuck ended", "loop ended", "store closed"]


async def test_a_signal_during_the_start_ends_it() -> None:
    async with _child(fault="slow") as child:
        await child.printed('"building"')
        assert await child.terminate() == 0
    assert child.events == ["building", "store closed"]


async def test_it_begins_by_logging_what_was_chosen_without_secrets() -> None:
    url = "postgresql://probe:hunter2@db.example:5432/probe"
    # when a process logs in words, everything there is
    async with _child(
        database_url=url, token="hunter23", log_format="text", log_level="debug"
    ) as child:
        await child.printed(" serving ")
        await child.terminate()

    # then the first line has the settings that differ from their defaults, and no others
    (settings,) = (line for line in child.lines if " settings " in line)
    assert "RUNYARD_PROBE_DATABASE_URL=postgresql://probe:***@db.example:5432/probe" in settings
    assert " RUNYARD_PROBE_TOKEN=***" in settings
    assert " RUNYARD_PROBE_LOG_LEVEL=debug" in settings
    assert "RUNYARD_PROBE_DRAIN_GRACE_S" not in settings
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
        await child.terminate()
    assert "ryd_secret" not in "".join(child.lines)


async def _refusal(**settings: str) -> str:
    """The one line that a process prints that refuses to start."""
    async with _child(log_level="error", **settings) as child:
        assert await child.exit_code() == 2
    (line,) = child.lines
    return line


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"drain_grac_s": "5"},
            "unknown setting RUNYARD_PROBE_DRAIN_GRAC_S: did you mean RUNYARD_PROBE_DRAIN_GRACE_S?",
        ),
        ({"fault": "store"}, "the database is owned by process 7: stop it"),
        (
            {"failpoints": "server.build=kill"},
            "unknown failpoint server.build: did you mean server.built?",
        ),
        ({"failpoints": "server.started=error"}, "failpoint server.started was reached"),
    ],
    ids=["unknown setting", "store that does not open", "unknown failpoint", "error at failpoint"],
)
async def test_a_start_that_is_refused_prints_one_line_that_says_why(
    settings: dict[str, str], complaint: str
) -> None:
    assert await _refusal(**settings) == f"runyard probe: {complaint}"


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
        assert await child.terminate() == -signal.SIGKILL
    assert child.events == ["handed back"]
