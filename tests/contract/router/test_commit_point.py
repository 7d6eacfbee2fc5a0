"""Answers over sockets that fail before each of their events: up to the first content another
member answers unseen, and from there on nobody else is asked.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from runyard.types.v1 import content_pb2 as content
from services.chassis.calls.streaming import streaming
from services.chassis.clock import SystemClock
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    failing,
    model,
    pool,
    request,
)
from tests.support import grpc_upstream as own
from tests.support import messages_events as messages
from tests.support.fake_provider import (
    FakeProvider,
    Pause,
    chunk,
    event,
    fake_provider,
    finish,
    stream,
    text,
)
from tests.support.grpc_upstream import Abort, GrpcUpstream, grpc_upstream
from tests.support.stack import free_port
from tests.support.tcp_relay import TcpRelay, tcp_relay
from tests.support.waiting import until, within_limit

WHOLE = "all is well"
CUT = prov.FAILURE_CLASS_STREAM_TRUNCATED
MALFORMED = prov.FAILURE_CLASS_STREAM_MALFORMED
SERVER_ERROR = prov.FAILURE_CLASS_SERVER_ERROR
LATE = prov.FAILURE_CLASS_TIMEOUT_FIRST_CHUNK
IDLE = prov.FAILURE_CLASS_TIMEOUT_IDLE

# The events of an answer that says "lost words"; what precedes "lost" is no content.
OPENAI: list[bytes] = [
    b": OPENROUTER PROCESSING\n\n",
    text()[0],
    chunk({}, usage={"prompt_tokens": 5, "completion_tokens": 0}),
    chunk({"content": "lost "}),
    chunk({"content": "words"}),
    *finish(),
]
ANTHROPIC: list[bytes] = [
    messages.start(),
    messages.PING,
    messages.text_block(0)[0],
    messages.PING,
    *messages.text_block(0, "lost ", "words")[1:],
    *messages.end(),
]
GRPC: Sequence[Any] = [
    own.started("r-lost"),
    own.message(),
    own.counted(input_tokens=5),
    own.text(""),
    own.text("lost "),
    own.text("words"),
    own.finish(),
]
BODY = json.dumps({"error": {"message": "bad gateway", "code": 502}}, indent=2).encode()
BROKEN = {"type": "error", "error": {"type": "api_error", "message": "broken"}}
# What the home does in place of its next event, and what that is.
FAULTS: dict[str, dict[str, tuple[Sequence[Any], set[int]]]] = {
    "clean end": {
        "openai": ([], {CUT}),
        "anthropic": ([], {CUT}),
        "grpc": ([], {CUT}),
    },
    "error body": {
        "openai": ([BODY], {SERVER_ERROR}),
        "anthropic": ([BODY], {SERVER_ERROR}),
        "grpc": ([Abort(grpc.StatusCode.INTERNAL, "bad gateway")], {SERVER_ERROR}),
    },
    "malformed event": {
        "openai": ([b"data: {no json\n\n"], {MALFORMED}),
        "anthropic": ([b"data: {no json\n\n"], {MALFORMED}),
        "grpc": ([b"\xff\xff"], {MALFORMED}),
    },
    "unknown finish": {
        "openai": (finish("banana"), {MALFORMED}),
        "anthropic": (messages.end("banana"), {MALFORMED}),
        "grpc": ([own.finish(content.FINISH_REASON_UNSPECIFIED)], {MALFORMED}),
    },
    "finish without its calls": {
        "openai": (finish("tool_calls"), {MALFORMED}),
        "anthropic": (messages.end("tool_use"), {MALFORMED}),
        "grpc": ([own.finish(content.FINISH_REASON_TOOL_CALLS)], {MALFORMED}),
    },
    "error event": {
        "openai": ([event(BROKEN)], {SERVER_ERROR}),
        "anthropic": ([b"event: error\n" + event(BROKEN)], {SERVER_ERROR}),
        "grpc": (
            [Abort(grpc.StatusCode.INTERNAL, "broken", [own.reason("INTERNAL")])],
            {SERVER_ERROR},
        ),
    },
    "reset": {
        "openai": ([], {CUT, SERVER_ERROR}),
        "anthropic": ([], {CUT, SERVER_ERROR}),
        "grpc": ([], {CUT, SERVER_ERROR, LATE, IDLE}),
    },
    "stall": dict.fromkeys(["openai", "anthropic", "grpc"], ([], {LATE, IDLE})),
}
# In place of the fault the home pauses, until the test resets the connection or lets time pass.
PAUSES = {"reset", "stall"}
SAID = {
    "openai": ["", "", "", "", "lost ", "lost words"],
    "anthropic": ["", "", "", "", "", "lost ", "lost words", "lost words"],
    "grpc": ["", "", "", "", "", "lost ", "lost words"],
}
DIALECTS = pytest.mark.parametrize("dialect", SAID)


class JumpingClock(SystemClock):
    """Its intervals can be made longer."""

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self._ahead_s

    def jump(self) -> None:
        """Beyond the first chunk's time-out and that of silence."""
        self._ahead_s += 100.0


@dataclass
class Home:
    """The member that fails, behind a relay, and the member that answers after it."""

    dialect: str
    clock: JumpingClock
    relay: TcpRelay
    server: FakeProvider | GrpcUpstream
    spare: FakeProvider
    running: RouterUnderTest
    frames: list[rpc.InferResponse] = field(default_factory=list)

    def will(self, moves: Sequence[Any], *, pauses: bool) -> None:
        if isinstance(self.server, GrpcUpstream):
            self.server.answers(*moves, *([own.Pause()] if pauses else []))
        else:
            self.server.answers(stream(*moves, *([Pause()] if pauses else [])))

    @property
    def items(self) -> list[pb.InferItem]:
        return [item for frame in self.frames for item in frame.items]

    @property
    def text(self) -> str:
        return "".join(item.text_delta.text for item in self.items)

    async def ask(self) -> None:
        """Make a call and read it to its end, whatever that is."""
        self.frames.clear()
        asked = request("p", min_registry_version=self.running.version)
        infer = RouterServiceStub(self.running.channel).Infer
        with suppress(grpc.aio.AioRpcError):
            async with streaming(infer(asked)) as answer:
                async for frame in answer:
                    self.frames.append(frame)

    def reset(self) -> None:
        """Reset the connection to the home."""
        self.relay.reset()
        if self.dialect == "grpc":
            # gRPC's client on a busy machine does not always see a reset; the router's limits do.
            self.clock.jump()

    async def ask_and(self, breaks: Callable[[], object], said: str, pauses: int) -> None:
        """Break the answer when the caller has received what was said before."""
        asking = asyncio.create_task(self.ask())
        await until(lambda: self.server.pauses == pauses and self.text == said)
        breaks()
        if said:
            # The router may begin to wait for more only now.
            await until(asking.done, breaks)
        await asking


@asynccontextmanager
async def home_of(dialect: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with AsyncExitStack() as stack:
        clock = JumpingClock()
        running = RouterUnderTest(tmp_path, clock=clock)
        server: FakeProvider | GrpcUpstream
        if dialect == "grpc":
            server = await stack.enter_async_context(grpc_upstream())
            port = int(server.target.rpartition(":")[2])
        else:
            server = await stack.enter_async_context(fake_provider())
            port = int(server.base_url.rpartition(":")[2].removesuffix("/v1"))
        relay = await stack.enter_async_context(tcp_relay(port))
        spare = await stack.enter_async_context(fake_provider())
        spare.always(stream(*text(WHOLE), *finish()))
        stack.push_async_callback(running.stop_registry)
        await running.start_registry()
        stack.push_async_callback(running.stop_router)
        await running.start_router()
        await running.apply(
            home_provider(dialect, relay.port),
            reg.Resource(
                provider=reg.Provider(
                    id="spare", openai=reg.OpenAiAdapter(), base_url=spare.base_url
                )
            ),
            model("home", "home"),
            model("spare", "spare"),
            pool(
                "p",
                "home",
                failover_only=["spare"],
                retry=reg.PoolRetry(in_place=0),
                breaker=reg.PoolBreaker(failure_threshold=1000),
                switch=reg.PoolSwitch(on_retry_exhausted=True),
            ),
        )
        yield Home(dialect, clock, relay, server, spare, running)


def home_provider(dialect: str, port: int) -> reg.Resource:
    http = f"http://127.0.0.1:{port}/v1"
    match dialect:
        case "openai":
            found = reg.Provider(id="home", openai=reg.OpenAiAdapter(), base_url=http)
        case "anthropic":
            found = reg.Provider(id="home", anthropic=reg.AnthropicAdapter(), base_url=http)
        case _:
            plaintext = reg.GrpcAdapter(transport=reg.GRPC_TRANSPORT_PLAINTEXT)
            found = reg.Provider(id="home", grpc=plaintext, base_url=f"127.0.0.1:{port}")
    return reg.Resource(provider=found)


EVENTS: dict[str, Sequence[Any]] = {"openai": OPENAI, "anthropic": ANTHROPIC, "grpc": GRPC}


@DIALECTS
@pytest.mark.parametrize("fault", FAULTS)
async def test_before_its_first_content_a_member_fails_unseen_and_after_it_alone(
    tmp_path: Path, dialect: str, fault: str
) -> None:
    moves, kinds = FAULTS[fault][dialect]
    pauses = fault in PAUSES
    async with home_of(dialect, tmp_path) as home, within_limit():
        breaks = home.reset if fault == "reset" else home.clock.jump
        for position, said in enumerate(SAID[dialect]):
            # given a home that fails before this one of its events
            asked_before = len(home.spare.requests)
            home.will([*EVENTS[dialect][:position], *moves], pauses=pauses)

            # when
            if pauses:
                await home.ask_and(breaks, said, position + 1)
            else:
                await home.ask()

            # then the caller gets the answer of one member
            assert len(home.server.requests) == position + 1
            sent = [item.WhichOneof("item") for item in home.items]
            last = home.items[-1]
            if said:
                assert (home.text, sent[-1]) == (said, "interrupted"), position
                assert len(home.spare.requests) == asked_before
                decision = last.interrupted.decision
                assert last.interrupted.committed_length == len(said)
            else:
                assert (home.text, sent[0], sent[-1]) == (WHOLE, "started", "finished")
                assert "stream_reset" not in sent
                assert home.items[0].started.decision.member_id == "spare"
                assert home.items[0].started.response_id == "chatcmpl-1"
                assert len(home.spare.requests) == asked_before + 1
                decision = last.finished.decision
            failed = decision.attempts[0]
            assert failed.member_id == "home"
            assert failed.failure in kinds, position


@DIALECTS
async def test_a_member_that_refuses_connections_fails_unseen(tmp_path: Path, dialect: str) -> None:
    async with home_of(dialect, tmp_path) as home, within_limit():
        # given
        await home.running.apply(home_provider(dialect, free_port()))

        # when
        await home.ask()

        # then
        assert (home.text, len(home.spare.requests)) == (WHOLE, 1)
        assert home.items[0].started.decision.member_id == "spare"
        failed = home.items[-1].finished.decision.attempts[0]
        assert (failed.member_id, failed.failure) == ("home", SERVER_ERROR)


TWICE: dict[str, Sequence[Any]] = {
    "openai": [*OPENAI[:-2], *finish()[:1], *finish()],
    "anthropic": [*ANTHROPIC, *messages.end()],
    "grpc": [*GRPC, own.finish()],
}


@DIALECTS
async def test_a_finish_that_is_said_twice_ends_the_answer_once(
    tmp_path: Path, dialect: str
) -> None:
    async with home_of(dialect, tmp_path) as home, within_limit():
        # given
        home.will(TWICE[dialect], pauses=False)

        # when
        await home.ask()

        # then
        kinds = [item.WhichOneof("item") for item in home.items]
        assert (home.text, kinds.count("finished"), kinds[-1]) == ("lost words", 1, "finished")
        assert home.spare.requests == []


BUILTIN = {
    reg.BUILTIN_FAULT_KIND_SERVER_ERROR: False,
    reg.BUILTIN_FAULT_KIND_CUT: True,
    reg.BUILTIN_FAULT_KIND_GARBAGE: True,
}


@pytest.mark.parametrize(("kind", "begins"), BUILTIN.items())
async def test_the_builtin_provider_fails_unseen_before_its_first_content(
    running: RouterUnderTest, kind: reg.BuiltinFaultKind, begins: bool
) -> None:
    for position in range(3 if begins else 1):
        # given
        fault = failing(kind, upstream_model="home", after_deltas=position, text="lost words")
        script = reg.BuiltinAdapter(steps=[fault])
        await running.apply(
            reg.Resource(provider=reg.Provider(id="script", builtin=script)),
            model("home", "script"),
            model("spare", "script"),
            pool(
                f"p{position}",
                "home",
                failover_only=["spare"],
                retry=reg.PoolRetry(in_place=0),
                switch=reg.PoolSwitch(on_retry_exhausted=True),
            ),
        )

        # when
        received = await running.infer(f"p{position}", WHOLE)

        # then
        if position == 0:
            assert (received.text, received.members) == (WHOLE, ["home", "spare"])
            assert received.items[0].started.decision.member_id == "spare"
        else:
            said = "lost words"[: 4 if position == 1 else None]
            assert (received.text, received.members) == (said, ["home"])
            assert received.kinds[-1] == "interrupted"
