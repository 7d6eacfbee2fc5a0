"""A shortage of the router's own machine counts against no member."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from services.router import main
from services.router.clients import credentials
from services.router.clients.local_limits import LOCAL_ERRNOS
from tests.contract.router.router_under_test import RouterUnderTest, model, pool, served_by
from tests.support.fake_provider import FakeProvider, finish, stream, text

ANSWER = stream(*text("hi"), *finish())
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
LOCAL_LIMIT = prov.FAILURE_CLASS_LOCAL_LIMIT


class Shortage:
    """Raises ``error`` in place of a socket for a provider, while there is one."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def socket(self, address: Any) -> socket.socket:
        if self.error is not None:
            raise self.error
        family, kind, protocol, *_ = address
        return socket.socket(family, kind, protocol)

    def open_session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=self.socket)
        return aiohttp.ClientSession(connector=connector)


@pytest.fixture
async def shortage(running: RouterUnderTest, monkeypatch: pytest.MonkeyPatch) -> Shortage:
    """Of what the router under test needs to connect."""
    made = Shortage()
    monkeypatch.setattr(main, "open_session", made.open_session)
    await running.restart_router()
    return made


def movable(provider: FakeProvider) -> list[reg.Resource]:
    """Pool ``p``, which moves a session for any reason and opens a circuit at the first failure."""
    return [
        *served_by(provider, "near"),
        model("far", "vllm"),
        pool(
            "p",
            "near",
            failover_only=["far"],
            switch=reg.PoolSwitch(on_permanent=True, on_retry_exhausted=True),
            breaker=reg.PoolBreaker(failure_threshold=1),
            retry=reg.PoolRetry(in_place=0),
        ),
    ]


OURS: dict[str, tuple[BaseException, str]] = {
    **{
        errno.errorcode[each]: (OSError(each, os.strerror(each)), os.strerror(each).lower())
        for each in LOCAL_ERRNOS
    },
    "no memory": (MemoryError(), "cannot allocate memory"),
    "no memory to look a name up": (
        socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"),
        "cannot allocate memory",
    ),
    "no thread": (RuntimeError("can't start new thread"), "no more threads"),
}
THEIRS = {
    errno.errorcode[each]: OSError(each, os.strerror(each))
    for each in (
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
        errno.EPIPE,
    )
} | {"unknown name": socket.gaierror(socket.EAI_NONAME, "Name or service not known")}


@pytest.mark.parametrize(("error", "short"), OURS.values(), ids=OURS)
async def test_what_this_machine_is_short_of_is_no_failure_of_a_member(
    running: RouterUnderTest,
    provider: FakeProvider,
    shortage: Shortage,
    error: BaseException,
    short: str,
) -> None:
    # given a pool that moves at the first failure, and no socket to call its members with
    provider.always(ANSWER)
    await running.apply(*movable(provider))
    shortage.error = error

    # when
    refused = [await running.infer("p", thread_id="t") for _ in range(3)]
    states = await running.state("p")
    shortage.error = None
    answered = await running.infer("p", thread_id="t")

    # then the calls end at the home, which is called as soon as there are sockets
    assert {each.code_and_reason for each in refused} == {(UNAVAILABLE, "ROUTER_OVERLOADED")}
    assert {each.failure.retry_after_s for each in refused} == {1.0}
    assert refused[0].failure.metadata["detail"] == short
    assert refused[0].failure.message == (
        f"model 'near' cannot be called, since the router's machine is short of resources: {short}"
    )
    assert [each.members for each in refused] == [["near"]] * 3
    attempt = refused[0].decision.attempts[0]
    assert (attempt.failure, attempt.HasField("retry_after")) == (LOCAL_LIMIT, False)
    # and nothing is kept of them
    assert [each.consecutive_failures for each in states] == [0] * len(states)
    assert (answered.text, answered.members, len(provider.requests)) == ("hi", ["near"], 1)


@pytest.mark.parametrize("error", THEIRS.values(), ids=THEIRS)
async def test_what_a_providers_machine_does_is_its_failure(
    running: RouterUnderTest, provider: FakeProvider, shortage: Shortage, error: BaseException
) -> None:
    # given
    await running.apply(*movable(provider))
    shortage.error = error

    # when
    refused = await running.infer("p", thread_id="t")

    # then
    assert refused.code_and_reason == (UNAVAILABLE, "MEMBERS_EXHAUSTED")
    assert refused.members == ["near", "far"]
    assert {each.failure for each in refused.decision.attempts} == {prov.FAILURE_CLASS_SERVER_ERROR}


async def test_a_key_file_that_cannot_be_opened_for_a_shortage_quarantines_nobody(
    running: RouterUnderTest,
    provider: FakeProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given a provider with a key file, and no descriptor to read it with
    provider.always(ANSWER)
    key = tmp_path / "key"
    key.write_text("sk-1")
    resources = movable(provider)
    resources[0].provider.credential_ref.file = str(key)
    await running.apply(*resources)
    monkeypatch.setattr(credentials, "_content", _failing(errno.EMFILE))

    # when
    refused = await running.infer("p", thread_id="t")
    states = await running.state("p")
    monkeypatch.undo()
    answered = await running.infer("p", thread_id="t")

    # then
    assert refused.code_and_reason == (UNAVAILABLE, "ROUTER_OVERLOADED")
    assert [each.HasField("quarantine") for each in states] == [False] * len(states)
    assert (answered.members, len(provider.requests)) == (["near"], 1)


def _failing(number: int) -> Callable[..., str]:
    def content(*_: object) -> str:
        raise OSError(number, os.strerror(number))

    return content


# Prints the classes that calls over HTTP and over gRPC end with once no descriptor is left.
CHILD = """
import asyncio, os, resource
from services.router.clients.grpc_channels import GrpcChannels
from services.router.clients.grpc_provider import GrpcAdapter
from services.router.clients.http_calls import HttpCalls, open_session
from services.router.clients.openai import OpenAiAdapter
from services.router.core.failures import UpstreamError
from services.router.core.model import Grpc, OpenAi
from tests.contract.router.adapter_calls import Calls
from tests.support.clock import ManualClock

async def failure_of(calls):
    try:
        async with calls.open() as stream:
            await stream.read()
    except UpstreamError as error:
        return error.failure.kind.value + ": " + error.failure.detail

async def main():
    clock = ManualClock()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    async with open_session() as session:
        http = Calls(OpenAiAdapter(HttpCalls(session, clock)), OpenAi("http://127.0.0.1:9"), clock)
        named = Calls(OpenAiAdapter(HttpCalls(session, clock)), OpenAi("http://localhost:9"), clock)
        first, rpc = (
            Calls(GrpcAdapter(GrpcChannels(), clock), Grpc("127.0.0.1:9", tls=False), clock)
            for _ in range(2)
        )
        # gRPC itself is running in a router.
        print(await failure_of(first))
        try:
            while True:
                os.open("/dev/null", os.O_RDONLY)
        except OSError:
            pass
        for calls in (http, named, rpc):
            print(await failure_of(calls), flush=True)
    os._exit(0)

asyncio.run(main())
"""


def test_a_process_without_descriptors_says_so_over_http_and_grpc() -> None:
    # given a process that has opened all the files it may
    # when it calls providers
    command = [sys.executable, "-c", CHILD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    # then
    refused, *short = done.stdout.splitlines()
    assert (refused, short) == ("server_error: ", ["local_limit: too many open files"] * 3)
