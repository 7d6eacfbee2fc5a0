"""What our own channels add: retries where they are safe and nowhere else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.chassis.access.entry import peers_of
from services.chassis.channel import open_channel, retry_safe_methods
from services.chassis.errors import StoreUnavailableError
from services.chassis.policy import ANY_ROLE, MethodPolicy
from tests.contract.chassis_grpc.probe import (
    CHAT,
    COLLECT,
    UNARY,
    WATCH,
    Context,
    Probe,
    ProbeSettings,
    ProbeStub,
    failure,
    probing,
    stream_failure,
    text,
)
from tests.support.clock import ManualClock


async def test_a_retry_policy_does_not_run_a_handler_again_that_has_decided() -> None:
    """Measured: headers withheld, UNAVAILABLE, a retry policy: the handler ran four times."""
    runs: list[str] = []

    async def unary(request: StringValue, context: Context) -> StringValue:
        runs.append("unary")
        raise StoreUnavailableError("the store is busy", retry_after_s=0.01)

    async def watch(request: StringValue, context: Context) -> None:
        runs.append("watch")
        raise StoreUnavailableError("the store is busy")

    # given a channel that repeats both methods on UNAVAILABLE
    async with (
        probing(Probe(unary=unary, watch=watch)) as probe,
        open_channel(probe.served.target, retry_safe=[UNARY, WATCH]) as channel,
    ):
        stub = ProbeStub(channel)
        # when they fail with a domain error
        first = await failure(stub.unary(text("x")))
        second = await stream_failure(stub.watch(text("x")))

    # then each has run once
    assert runs == ["unary", "watch"]
    assert {first.code(), second.code()} == {grpc.StatusCode.UNAVAILABLE}


@pytest.mark.parametrize(("retry_safe", "attempts"), [([UNARY], 3), ([], 1)])
async def test_only_methods_named_safe_are_repeated_when_nobody_decided(
    retry_safe: list[str], attempts: int
) -> None:
    runs = 0

    async def flaky(request: StringValue, context: Context) -> StringValue:
        nonlocal runs
        runs += 1
        if runs < 3:
            # As a proxy or a dying server would: a bare status, without our trailer.
            await context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
        return request

    async with (
        probing(Probe(unary=flaky)) as probe,
        open_channel(probe.served.target, retry_safe=retry_safe) as channel,
    ):
        call = ProbeStub(channel).unary(text("x"))
        code = await call.code()

    assert runs == attempts
    assert code is (grpc.StatusCode.OK if retry_safe else grpc.StatusCode.UNAVAILABLE)


def test_the_policy_names_the_methods_that_channels_may_repeat() -> None:
    rows = {
        UNARY: MethodPolicy(ANY_ROLE, None, retry_safe=True),
        WATCH: MethodPolicy(ANY_ROLE, None, idempotent=True),
        CHAT: MethodPolicy(ANY_ROLE, None),
        COLLECT: MethodPolicy(ANY_ROLE, None, retry_safe=True),
    }
    assert retry_safe_methods(rows) == (COLLECT, UNARY)


def test_a_method_name_that_is_not_complete_is_refused() -> None:
    with pytest.raises(ValueError, match="not a full method name"):
        open_channel("127.0.0.1:1", retry_safe=["GetRun"])


async def test_an_outbound_channel_reports_its_state_as_any_channel_does() -> None:
    async with probing() as probe:
        async with open_channel(probe.served.target) as channel:
            state = channel.get_state(try_to_connect=True)
            assert state is grpc.ChannelConnectivity.IDLE
            await channel.wait_for_state_change(state)
            await channel.channel_ready()
            assert channel.get_state() is grpc.ChannelConnectivity.READY
        assert isinstance(channel, grpc.aio.Channel)
        closed = open_channel(probe.served.target)
        await closed.close()
        with pytest.raises(grpc.aio.UsageError):
            await ProbeStub(closed).unary(text("x"))


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
async def test_calls_to_this_machine_pass_no_proxy(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would see tokens that are sent unencrypted because they stay here."""
    connections = 0

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listening, probing() as probe:
        port = listening.sockets[0].getsockname()[1]
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        for host in ("127.0.0.1", "localhost"):
            async with open_channel(f"{host}:{probe.served.port}") as channel:
                answer = await ProbeStub(channel).unary(text("x"), timeout=10)
                assert answer.value == "x"
    assert connections == 0


async def test_an_open_channel_shows_the_token_that_its_file_holds_by_then(tmp_path: Path) -> None:
    # given a channel of a process whose token is in a file
    clock = ManualClock()
    shown = []

    async def unary(request: StringValue, context: Context) -> StringValue:
        shown.append(dict(context.invocation_metadata())["authorization"])
        return request

    file = tmp_path / "token"
    _write(file, "first\n")
    peers = peers_of(ProbeSettings(peer_token_file=str(file)), clock)
    async with (
        probing(Probe(unary=unary)) as probe,
        open_channel(probe.served.target, peers=peers) as channel,
    ):
        # when the file is written again, and found empty in between
        for said in ("first\n", "", "second\n"):
            _write(file, said)
            clock.advance(1.0)
            await ProbeStub(channel).unary(text("x"))

    # then
    assert shown == ["Bearer first", "Bearer first", "Bearer second"]


def _write(file: Path, said: str) -> None:
    file.write_text(said)
