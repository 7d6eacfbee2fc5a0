"""How many calls of a method one caller may have open, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import grpc
import pytest

from services.chassis.access.policy import ANY_ROLE, MethodPolicy
from services.chassis.caller import Principal, Role
from services.chassis.calls.channel import open_channel
from services.chassis.calls.rpc_status import reason_of
from services.chassis.calls.streaming import streaming
from services.chassis.server.handlers.limits import OpenCalls, TooManyCallsError
from tests.contract.chassis_grpc.probe import CHAT, UNARY, WATCH, Probe, ProbeStub, failure, probing
from tests.support.waiting import within_limit

TWO = MethodPolicy(ANY_ROLE, deadline_cap_s=None, concurrent_per_principal=2)
ROWS = {WATCH: TWO, CHAT: TWO, UNARY: TWO}


class NamedCallers:
    """Takes the name that a caller gives itself."""

    def authenticate(self, metadata: Mapping[str, str | bytes]) -> Principal:
        name = str(metadata.get("name", "nobody"))
        return Principal(tenant="default", roles=frozenset({Role.VIEWER}), name=name)


class Stream:
    """A stream that says one thing, and then what its request asks for."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def watch(self, request: str, context: Any) -> AsyncIterator[str]:
        try:
            yield request
            if request == "fails":
                raise LookupError("a defect")
            if request == "stays":
                await asyncio.Event().wait()
        finally:
            self.ended.put_nowait(request)

    def probe(self) -> Probe:
        return Probe(watch=self.watch, policy=ROWS)


class Connection:
    """A connection between a client and a server that can be cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, back]
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def _open(stub: ProbeStub, value: str = "stays", **options: Any) -> Any:
    """A stream whose handler has begun."""
    call = stub.watch(value, **options)
    assert await call.read() == value
    return call


async def _leave(call: Any, stream: Stream) -> None:
    call.cancel()
    async with within_limit():
        await stream.ended.get()


async def _refused(stub: ProbeStub) -> bool:
    """Whether one more stream is refused; it ends by itself if not."""
    try:
        async for _ in stub.watch("ends"):
            pass
    except grpc.aio.AioRpcError as error:
        return reason_of(error).reason == "TOO_MANY_CALLS"
    return False


async def _until_admitted(stub: ProbeStub) -> None:
    """gRPC tells a peer that its call has ended before the handler has returned."""
    async with within_limit():
        while await _refused(stub):
            pass


async def test_one_call_more_than_allowed_is_refused_with_the_limit_and_a_pause() -> None:
    stream = Stream()
    async with probing(stream.probe()) as probe:
        # given two open streams
        calls = [await _open(probe.stub), await _open(probe.stub)]

        # when a third is opened
        facts = reason_of(await failure(probe.stub.watch("stays")))
        for call in calls:
            await _leave(call, stream)

    # then it is told the limit, and when to try again
    assert facts.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert facts.reason == "TOO_MANY_CALLS"
    assert facts.metadata == {"method": WATCH, "limit": "2", "retry": "retryable"}
    assert facts.retry_after_s == 5.0
    assert stream.ended.empty()


def test_two_tenants_may_have_a_caller_of_the_same_name() -> None:
    # given a caller of one tenant that has used up its place
    calls = OpenCalls()
    acme, globex = (Principal(tenant, ANY_ROLE, "alice") for tenant in ("acme", "globex"))
    place = calls.take(acme, WATCH, 1)

    # then the other's is let in, and its own next one refused until it gives the place back
    calls.take(globex, WATCH, 1)
    with pytest.raises(TooManyCallsError):
        calls.take(acme, WATCH, 1)
    calls.leave(place)
    assert calls.take(acme, WATCH, 1) == place


async def test_each_caller_and_each_method_has_places_of_its_own() -> None:
    stream = Stream()
    async with probing(stream.probe(), authenticator=NamedCallers()) as probe:
        # given a caller who has used up its places
        vera, otto = [("name", "vera")], [("name", "otto")]
        calls = [await _open(probe.stub, metadata=vera) for _ in range(2)]
        failed = await failure(probe.stub.watch("stays", metadata=vera))

        # when another calls the same, and the caller calls something else
        calls.append(await _open(probe.stub, metadata=otto))
        answer = await probe.stub.unary("x", metadata=vera)
        for call in calls:
            await _leave(call, stream)

    # then only the first was refused
    assert reason_of(failed).reason == "TOO_MANY_CALLS"
    assert answer == "x"


@pytest.mark.parametrize("way", ["ends", "fails", "cancel", "deadline", "peer gone"])
async def test_a_place_comes_back_however_the_call_ends(way: str) -> None:
    stream = Stream()
    async with probing(stream.probe()) as probe:
        # given two open streams, one of which ends
        stays = await _open(probe.stub)
        connection = Connection(probe.port)
        async with (
            await asyncio.start_server(connection.carry, "127.0.0.1", 0) as relay,
            open_channel(f"127.0.0.1:{relay.sockets[0].getsockname()[1]}") as channel,
        ):
            stub = ProbeStub(channel)
            match way:
                case "ends" | "fails":
                    await _open(stub, way)
                    async with within_limit():
                        await stream.ended.get()
                case "cancel":
                    await _leave(await _open(stub), stream)
                case "deadline":
                    call = await _open(stub, timeout=2.0)
                    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                case _:
                    await _open(stub)
                    connection.cut()

            # then there is a place again
            await _until_admitted(probe.stub)
        await _leave(stays, stream)


async def test_a_refused_call_takes_no_place() -> None:
    stream = Stream()
    async with probing(stream.probe()) as probe:
        # given two open streams, and many who were refused
        calls = [await _open(probe.stub), await _open(probe.stub)]
        refusals = [await _refused(probe.stub) for _ in range(5)]

        # when one of the two ends
        await _leave(calls.pop(), stream)

        # then there is a place
        await _until_admitted(probe.stub)
        await _leave(calls.pop(), stream)
    assert refusals == [True] * 5


async def test_a_call_that_waits_for_its_peer_holds_its_place_in_both_directions() -> None:
    async with (
        probing(Probe(policy=ROWS)) as probe,
        streaming(probe.stub.chat()) as one,
        streaming(probe.stub.chat()) as other,
    ):
        for call in (one, other):
            await call.write("x")
            assert await call.read() == "x"
        failed = await failure(probe.stub.chat())
    assert reason_of(failed).metadata["method"] == CHAT
