"""What our own channels add, and that neither they nor a retry policy repeat a decided call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.chassis.access.entry import peers_of
from services.chassis.calls.channel import open_channel, open_outside_channel
from services.chassis.errors import StoreUnavailableError
from tests.contract.chassis_grpc.probe import Probe, ProbeSettings, ProbeStub, failure, probing
from tests.support.clock import ManualClock
from tests.support.stack import free_port

RETRY_POLICY = {
    "maxAttempts": 4,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
RETRY_ALL = {"methodConfig": [{"name": [{}], "retryPolicy": RETRY_POLICY}]}


async def test_a_retry_policy_does_not_run_a_handler_again_that_has_decided() -> None:
    """Measured: headers withheld, UNAVAILABLE, a retry policy: the handler ran four times."""
    runs: list[str] = []

    async def unary(request: str, context: Any) -> str:
        runs.append("unary")
        raise StoreUnavailableError("the store is busy", retry_after_s=0.01)

    async def watch(request: str, context: Any) -> None:
        runs.append("watch")
        raise StoreUnavailableError("the store is busy")

    # given a client's channel that repeats every method on UNAVAILABLE
    retrying = ("grpc.service_config", json.dumps(RETRY_ALL))
    async with (
        probing(Probe(unary=unary, watch=watch)) as probe,
        grpc.aio.insecure_channel(probe.target, options=[retrying]) as channel,
    ):
        stub = ProbeStub(channel)
        # when they fail with a domain error
        first = await failure(stub.unary("x"))
        second = await failure(stub.watch("x"))

    # then each has run once
    assert runs == ["unary", "watch"]
    assert {first.code(), second.code()} == {grpc.StatusCode.UNAVAILABLE}


async def test_our_channels_repeat_nothing() -> None:
    runs = 0

    async def fails(request: str, context: Any) -> str:
        nonlocal runs
        runs += 1
        # As a proxy or a server that stops would: a bare status, without our trailer.
        await context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
        return request

    async with probing(Probe(unary=fails)) as probe:
        code = await probe.stub.unary("x").code()

    assert runs == 1
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_an_outbound_channel_reports_its_state_as_any_channel_does() -> None:
    async with probing() as probe:
        async with open_channel(probe.target) as channel:
            state = channel.get_state(try_to_connect=True)
            assert state is grpc.ChannelConnectivity.IDLE
            await channel.wait_for_state_change(state)
            await channel.channel_ready()
            assert channel.get_state() is grpc.ChannelConnectivity.READY
        assert isinstance(channel, grpc.aio.Channel)
        closed = open_channel(probe.target)
        await closed.close()
        with pytest.raises(grpc.aio.UsageError):
            await ProbeStub(closed).unary("x")


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
            async with open_channel(f"{host}:{probe.port}") as channel:
                assert await ProbeStub(channel).unary("x", timeout=10) == "x"
    assert connections == 0


async def test_a_channel_does_not_wait_for_the_back_off_of_another() -> None:
    # given a channel to a server that is away
    port = free_port()
    async with open_channel(f"127.0.0.1:{port}") as early:
        assert (await failure(ProbeStub(early).unary("x"))).code() is grpc.StatusCode.UNAVAILABLE

        # when the server is there, and another channel is opened
        async with probing(listen=f"127.0.0.1:{port}"), open_channel(f"127.0.0.1:{port}") as late:
            # then it is connected at once
            assert await ProbeStub(late).unary("x") == "x"


@pytest.mark.parametrize(
    ("opened", "longest_ms"),
    [
        (lambda: open_channel("127.0.0.1:1"), 500),
        (lambda: open_outside_channel("127.0.0.1:1", None, ""), 5_000),
    ],
)
async def test_a_server_of_the_suite_is_found_again_soon(
    opened: Callable[[], grpc.aio.Channel],
    longest_ms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a look at the options of channels
    made: list[dict[str, Any]] = []
    insecure_channel = grpc.aio.insecure_channel

    def noted(target: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        made.append(dict(options))
        return insecure_channel(target, options)

    monkeypatch.setattr(grpc.aio, "insecure_channel", noted)

    # when one is opened to a server of the suite, or to a provider
    async with opened():
        pass

    # then it waits this long at most before it tries to connect again
    assert [each["grpc.max_reconnect_backoff_ms"] for each in made] == [longest_ms]


async def test_an_open_channel_shows_the_token_that_its_file_holds_by_then(tmp_path: Path) -> None:
    # given a channel of a process whose token is in a file
    clock = ManualClock()
    shown = []

    async def unary(request: str, context: Any) -> str:
        shown.append(dict(context.invocation_metadata())["authorization"])
        return request

    file = tmp_path / "token"
    file.write_text("first\n")
    peers = peers_of(ProbeSettings(peer_token_file=str(file)), clock)
    async with (
        probing(Probe(unary=unary)) as probe,
        open_channel(probe.target, peers=peers) as channel,
    ):
        # when the file is written again, and found empty in between
        for said in ("first\n", "", "second\n"):
            file.write_text(said)
            clock.advance(1.0)
            await ProbeStub(channel).unary("x")

    # then
    assert shown == ["Bearer first", "Bearer first", "Bearer second"]
