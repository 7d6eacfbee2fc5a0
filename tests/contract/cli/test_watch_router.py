"""Following the router's state by the command, and through a restart of its server."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runyard.router.v1 import router_pb2 as pb
from runyard.router.v1 import router_service_pb2 as rpc
from runyard.router.v1.router_service_pb2_grpc import RouterServiceStub
from services.cli.base.layout import Part
from services.cli.runs.routing_watch import event_line
from tests.contract.cli.process import COMMAND, environment, runyard
from tests.contract.router.router_under_test import RouterUnderTest, limited_pool

pytestmark = pytest.mark.slow


@asynccontextmanager
async def watching(
    router: RouterUnderTest, *options: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    assert router.router is not None
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "watch", "router", *options),
        env=environment(RUNYARD_ENDPOINTS=f"router={router.router.target}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[RouterUnderTest]:
    servers = RouterUnderTest(tmp_path)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(*limited_pool())
        await servers.infer("second")
        yield servers
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def until(process: asyncio.subprocess.Process, text: str) -> list[str]:
    """The lines up to one that has the text, without their times."""
    assert process.stdout is not None
    found: list[str] = []
    while not found or text not in found[-1]:
        line = await process.stdout.readline()
        assert line, found
        found.append(line.decode().rstrip("\n").partition(" ")[2])
    return found


async def test_what_happens_is_told_in_words_until_ctrl_c(router: RouterUnderTest) -> None:
    async with watching(router, "narration") as process:
        # given
        state = await until(process, "changes follow")

        # when a session moves, and an operator clears its member and unpins it
        await router.infer("narration", thread_id="t")
        moved = await until(process, "narration: first, circuit closed, in a quota deadline")
        stub = RouterServiceStub(router.channel)
        await stub.ResetMember(rpc.ResetMemberRequest(target_id="narration", member_id="first"))
        await until(process, "narration: first was reset by local")
        await stub.UnpinSession(rpc.UnpinSessionRequest(pool_id="narration", session="thread:t"))
        await until(process, "narration: thread:t is no longer held on second")
        process.send_signal(signal.SIGINT)
        code = await process.wait()

    # then
    assert state[0].startswith("the state, as process ")
    assert moved[0] == "narration: thread:t goes from first to second (rate limit)"
    assert moved[1].startswith("narration: thread:t is held on second instead of first")
    assert code == 130


async def test_in_json_every_event_is_a_line_and_names_the_process(
    router: RouterUnderTest,
) -> None:
    async def value() -> Any:
        assert process.stdout is not None
        return json.loads(await process.stdout.readline())

    async with watching(router, "-o", "json") as process:
        # given
        begun, complete = await value(), await value()
        await router.infer("narration", thread_id="t")
        kinds: list[str] = []
        while len(kinds) < 4:
            kinds += (await value()).keys() - {"instance_id", "event_time"}

    # then
    assert begun["instance_id"] == complete["instance_id"]
    assert "state_begin" in begun
    assert "state_complete" in complete
    assert sorted(kinds) == ["member", "member", "pinned", "switched"]


async def test_a_router_that_restarts_is_followed_on(router: RouterUnderTest) -> None:
    # given a watch, on a port that the next router gets again
    assert router.router is not None
    async with watching(router, "-o", "json") as process:
        assert process.stdout is not None
        before = json.loads(await process.stdout.readline())["instance_id"]

        # when
        router.router_port = router.router.port
        await router.restart_router()
        after = before
        while after == before:
            after = json.loads(await process.stdout.readline())["instance_id"]

    # then
    assert after != before


async def test_an_unknown_target_is_refused(router: RouterUnderTest) -> None:
    assert router.router is not None
    endpoint = f"router={router.router.target}"
    answer = await runyard("watch", "router", "naration", RUNYARD_ENDPOINTS=endpoint)

    assert answer.code == 1
    assert "did you mean 'narration'?" in answer.err


def text(parts: list[Part]) -> str:
    return "".join(part if isinstance(part, str) else part[0] for part in parts)


def test_a_move_before_a_call_and_an_unknown_event_have_words() -> None:
    switched = pb.Switched(
        target_id="p",
        from_member_id="a",
        to_member_id="b",
        skip_reason=pb.SKIP_REASON_CIRCUIT_OPEN,
    )

    assert text(event_line(pb.RoutingEvent(switched=switched), "i")).endswith(
        "p: a session goes from a to b (circuit open)"
    )
    assert "does not know" in text(event_line(pb.RoutingEvent(), "i"))
