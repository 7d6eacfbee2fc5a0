"""How many calls of a method one caller may have open, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.chassis.caller import Principal, Role
from services.chassis.channel import open_channel, streaming
from services.chassis.interceptors.open_calls import OpenCalls, TooManyCallsError
from services.chassis.policy import ANY_ROLE, MethodPolicy
from services.chassis.rpc_status import reason_of
from tests.contract.chassis_grpc.probe import (
    CHAT,
    UNARY,
    WATCH,
    Context,
    Probe,
    ProbeStub,
    ServedProbe,
    Signal,
    probing,
    stream_failure,
    text,
)

TWO = MethodPolicy(ANY_ROLE, deadline_cap_s=None, concurrent_per_principal=2)
ROWS = {WATCH: TWO, CHAT: TWO, UNARY: TWO}


class NamedCallers:
    """Takes the name that a caller gives itself."""

    async def authenticate(self, metadata: Mapping[str, str | bytes], peer: str) -> Principal:
        name = str(metadata.get("name", "nobody"))
        return Principal(tenant="default", roles=frozenset({Role.VIEWER}), name=name)


class Desk:
    """A stream that says one thing, and then what its request asks for."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def watch(self, request: StringValue, context: Context) -> AsyncIterator[StringValue]:
        try:
            yield request
            if request.value == "fails":
                raise LookupError("a defect")
            if request.value == "stays":
                await asyncio.Event().wait()
        finally:
            self.ended.put_nowait(request.value)

    def probe(self) -> Probe:
        return Probe(watch=self.watch, policy=ROWS)


class Wire:
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
    call = stub.watch(text(value), **options)
    assert (await call.read()).value == value
    return call


async def _leave(call: Any, desk: Desk) -> None:
    call.cancel()
    await asyncio.wait_for(desk.ended.get(), 10)


async def _refused(stub: ProbeStub) -> bool:
    """Whether one more stream is refused; it ends by itself if not."""
    try:
        async for _ in stub.watch(text("ends")):
            pass
    except grpc.aio.AioRpcError as error:
        return reason_of(error).reason == "TOO_MANY_CALLS"
    return False


async def _until_admitted(probe: ServedProbe) -> None:
    """gRPC tells a peer that its call has ended before the handler has returned."""
    async with asyncio.timeout(10):
        while await _refused(probe.stub):
            pass


async def test_one_call_more_than_allowed_is_refused_with_the_limit_and_a_pause() -> None:
    desk = Desk()
    async with probing(desk.probe()) as probe:
        # given two open streams
        calls = [await _open(probe.stub), await _open(probe.stub)]

        # when a third is opened
        facts = reason_of(await stream_failure(probe.stub.watch(text("stays"))))
        for call in calls:
            await _leave(call, desk)

    # then it is told the limit, and when to try again
    assert facts.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert facts.reason == "TOO_MANY_CALLS"
    assert facts.metadata == {"method": WATCH, "limit": "2", "retry": "retryable"}
    assert facts.retry_after_s == 5.0
    assert desk.ended.empty()


def test_two_tenants_may_have_a_caller_of_the_same_name() -> None:
    # given a caller of one tenant that has used up its place
    calls, row = OpenCalls(), MethodPolicy(ANY_ROLE, None, concurrent_per_principal=1)
    acme, globex = (Principal(tenant, ANY_ROLE, "alice") for tenant in ("acme", "globex"))
    with (
        calls.place(acme, WATCH, row),
        # then the other's is let in, and its own next one refused
        calls.place(globex, WATCH, row),
        pytest.raises(TooManyCallsError),
        calls.place(acme, WATCH, row),
    ):
        raise AssertionError("it was let in")


async def test_each_caller_and_each_method_has_places_of_its_own() -> None:
    desk = Desk()
    async with probing(desk.probe(), authenticator=NamedCallers()) as probe:
        # given a caller who has used up its places
        vera, otto = [("name", "vera")], [("name", "otto")]
        calls = [await _open(probe.stub, metadata=vera) for _ in range(2)]
        failed = await stream_failure(probe.stub.watch(text("stays"), metadata=vera))

        # when another calls the same, and the caller calls something else
        calls.append(await _open(probe.stub, metadata=otto))
        answer = await probe.stub.unary(text("x"), metadata=vera)
        for call in calls:
            await _leave(call, desk)

    # then only the first was refused
    assert reason_of(failed).reason == "TOO_MANY_CALLS"
    assert answer.value == "x"


@pytest.mark.parametrize("way", ["ends", "fails", "cancel", "deadline", "peer gone"])
async def test_a_place_comes_back_however_the_call_ends(way: str) -> None:
    desk = Desk()
    async with probing(desk.probe()) as probe:
        # given two open streams, one of which ends
        stays = await _open(probe.stub)
        wire = Wire(probe.served.port)
        async with (
            await asyncio.start_server(wire.carry, "127.0.0.1", 0) as relay,
            open_channel(f"127.0.0.1:{relay.sockets[0].getsockname()[1]}") as channel,
        ):
            stub = ProbeStub(channel)
            match way:
                case "ends" | "fails":
                    call = await _open(stub, way)
                    await asyncio.wait_for(desk.ended.get(), 10)
                case "cancel":
                    await _leave(await _open(stub), desk)
                case "deadline":
                    call = await _open(stub, timeout=0.2)
                    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                case _:
                    await _open(stub)
                    wire.cut()

            # then there is a place again
            await _until_admitted(probe)
        await _leave(stays, desk)


async def test_a_refused_call_takes_no_place() -> None:
    desk = Desk()
    async with probing(desk.probe()) as probe:
        # given two open streams, and many who were refused
        calls = [await _open(probe.stub), await _open(probe.stub)]
        refusals = [await _refused(probe.stub) for _ in range(5)]

        # when one of the two ends
        await _leave(calls.pop(), desk)

        # then there is a place
        await _until_admitted(probe)
        await _leave(calls.pop(), desk)
    assert refusals == [True] * 5


async def test_a_call_that_waits_for_its_peer_holds_its_place_in_both_directions() -> None:
    begun = Signal()

    async def chat(
        requests: AsyncIterator[StringValue], context: Context
    ) -> AsyncIterator[StringValue]:
        async for request in requests:
            begun.set()
            yield request

    async with (
        probing(Probe(chat=chat, policy=ROWS)) as probe,
        streaming(probe.stub.chat()) as one,
        streaming(probe.stub.chat()) as other,
    ):
        for call in (one, other):
            await call.write(text("x"))
            await call.read()
        failed = await stream_failure(probe.stub.chat())
    assert begun.happened
    assert reason_of(failed).metadata["method"] == CHAT
