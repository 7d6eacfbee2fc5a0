"""No request of one message, whatever is in it, ends with an error that no caller is meant to see.

Requests go to real servers of the four services. Each is answered, or refused with a reason, and
nothing is logged with a traceback: what cannot be stored is refused before the store.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf import message_factory, text_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.arch.contract_fields import leaves, with_value
from tests.arch.project import SERVED_PACKAGES, SERVICES, proto_services
from tests.contract.legal_requests import Legal, prepared
from tests.contract.runcontrol.conftest import Suite
from tests.support.arbitrary_messages import ArbitraryMessages
from tests.support.profiles import amount, scaled
from tests.support.smallest_messages import NESTED, REQUESTS

pytestmark = pytest.mark.slow

MESSAGES = amount(gate=200, chaos=2_000)
AT_ONCE = 10
# How long a stream that stays open is read, and how long any other call may take.
STREAM_S, CALL_S = 0.05, 60.0
NEVER_SHOWN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
INFO = "runyard.types.v1"
# What no database has room for, by the type of a field.
HOSTILE: Mapping[int, Sequence[object]] = {
    FieldDescriptor.TYPE_STRING: ("a\0b", "a\x1bb", "a" * 70_000),
    FieldDescriptor.TYPE_BYTES: (b"\0", b"\xff" * 13),
    FieldDescriptor.TYPE_BOOL: (True,),
    FieldDescriptor.TYPE_ENUM: (99, -1),
    FieldDescriptor.TYPE_FLOAT: (float("nan"), float("inf")),
    FieldDescriptor.TYPE_DOUBLE: (float("nan"), float("-inf")),
    FieldDescriptor.TYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.TYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.TYPE_UINT32: ((1 << 32) - 1,),
    FieldDescriptor.TYPE_UINT64: ((1 << 63), (1 << 64) - 1),
}
TIMES: Mapping[str, Sequence[Message]] = {
    each.DESCRIPTOR.full_name: [
        each(seconds=seconds, nanos=nanos)
        for seconds in (-(1 << 63), (1 << 63) - 1, -62_135_596_800, 253_402_300_799)
        for nanos in (0, -1, 999_999_999)
    ]
    for each in (Timestamp, Duration)
}


@dataclass(frozen=True, slots=True)
class Rpc:
    """An RPC that takes one message, and who serves it."""

    server: str
    method: MethodDescriptor

    @property
    def request(self) -> str:
        return self.method.input_type.full_name


@dataclass
class Servers:
    """The four services, with state that the legal requests are about.

    Attributes:
        wrong: What ended as no call may.
    """

    suite: Suite
    legal: Legal
    wrong: list[str] = field(default_factory=list)

    def legal_request(self, rpc: Rpc) -> Message:
        (found,) = (each for each in self.legal.requests if _name(each) == rpc.request)
        return found

    async def send_all(self, rpc: Rpc, requests: Iterable[Message]) -> None:
        left = iter(requests)
        while some := list(islice(left, AT_ONCE)):
            await asyncio.gather(*(self.send(rpc, request) for request in some))

    async def send(self, rpc: Rpc, request: Message) -> grpc.StatusCode:
        """The code it ends with; a stream that stays open ends well."""
        try:
            await self._call(rpc, request)
        except grpc.aio.AioRpcError as error:
            if error.code() in NEVER_SHOWN:
                shown = text_format.MessageToString(request, as_one_line=True)[:1_000]
                self.wrong.append(f"{rpc.request}: {error.code()} {error.details()}: {shown}")
            return error.code()
        return grpc.StatusCode.OK

    async def _call(self, rpc: Rpc, request: Message) -> None:
        method, channel = rpc.method, self.suite.channel(rpc.server)
        path = f"/{method.containing_service.full_name}/{method.name}"
        answer = message_factory.GetMessageClass(method.output_type)
        if not method.server_streaming:
            ask = channel.unary_unary(path, type(request).SerializeToString, answer.FromString)
            await ask(request, timeout=CALL_S)
            return
        follow = channel.unary_stream(path, type(request).SerializeToString, answer.FromString)
        call = follow(request, timeout=CALL_S)
        try:
            async with asyncio.timeout(STREAM_S):
                async for _ in call:
                    pass
        except TimeoutError:
            call.cancel()


def _name(message: Message) -> str:
    return message.DESCRIPTOR.full_name


def rpcs() -> Iterator[Rpc]:
    """Every RPC that takes one message and is served; all services serve those of ``INFO``."""
    served = {_name(request) for request in REQUESTS}
    for server in SERVICES:
        packages = {INFO, *(f"runyard.{package}.v1" for package in SERVED_PACKAGES[server])}
        for each in proto_services():
            for method in each.methods if each.file.package in packages else ():
                name = method.input_type.full_name
                if method.client_streaming:
                    continue
                if name in served or each.file.package == INFO:
                    yield Rpc(server, method)


def hostile_values(last: FieldDescriptor) -> Sequence[object]:
    if last.message_type is not None:
        return TIMES.get(last.message_type.full_name, (True,))
    return HOSTILE[last.type]


@pytest.fixture
def urls(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where each service keeps what it has; empty on SQLite."""
    if request.param == "sqlite":
        return {}
    emptied = request.getfixturevalue("emptied_schema")
    return {name: emptied(name) for name in SERVICES}


@pytest_asyncio.fixture
async def servers(tmp_path: Path, urls: dict[str, str]) -> AsyncIterator[Servers]:
    suite = Suite(tmp_path, urls)
    # Hundreds of runs are submitted: that all are executed is not what is tested.
    await suite.start(max_concurrent_runs=2)
    try:
        yield Servers(suite, await prepared(suite))
    finally:
        await suite.close()


@pytest.fixture(autouse=True)
def no_traceback() -> Iterator[None]:
    """Fails the test when something was logged with a traceback."""
    heard = Tracebacks()
    logging.getLogger().addHandler(heard)
    yield
    logging.getLogger().removeHandler(heard)
    assert heard.texts == []


class Tracebacks(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.texts.append(self.format(record))


async def send_legal(servers: Servers) -> None:
    """One of each type, which is answered."""
    codes = {
        f"{rpc.server} {rpc.request}": await servers.send(rpc, servers.legal_request(rpc))
        for rpc in rpcs()
    }
    assert {name for name, code in codes.items() if code is not grpc.StatusCode.OK} == set()
    assert len(codes) == 65


@pytest.mark.parametrize("urls", ["sqlite", "postgresql"], indirect=True)
async def test_no_value_of_any_field_reaches_a_store_that_cannot_store_it(
    servers: Servers,
) -> None:
    # given legal requests
    await send_legal(servers)

    # when each field of them gets, by itself, the values that its type has and no column
    for rpc in rpcs():
        legal = servers.legal_request(rpc)
        changed = (
            with_value(legal, path, value, NESTED)
            for path in leaves(legal.DESCRIPTOR)
            for value in hostile_values(path[-1])
        )
        await servers.send_all(rpc, changed)

    # then none ends as no call may
    assert servers.wrong == []


@scaled
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    "urls", ["sqlite", pytest.param("postgresql", marks=pytest.mark.chaos)], indirect=True
)
async def test_any_request_is_answered_or_refused(servers: Servers) -> None:
    # given legal requests
    await send_legal(servers)

    # when many are sent that differ from one of them
    for rpc in rpcs():
        arbitrary = ArbitraryMessages(random.Random(rpc.request), servers.legal.known)
        legal = servers.legal_request(rpc)
        await servers.send_all(rpc, (arbitrary.changed(legal) for _ in range(MESSAGES)))

    # then none ends as no call may
    assert servers.wrong == []
