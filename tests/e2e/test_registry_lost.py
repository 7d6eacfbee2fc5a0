"""Router and run control over a registry that is away, put back to an older state, or wiped."""

from __future__ import annotations

import shutil

import grpc
import pytest

from runyard.registry.v1 import registry_pb2 as registry
from services.chassis.clock import SystemClock
from tests.support import scenario
from tests.support.stack import Stack, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

# Between two questions to a process in which there is no event of ours to wait for.
_PAUSE = SystemClock()


def saying(text: str) -> list[registry.Resource]:
    """A provider that says ``text``, a model of it and an agent on that."""
    return [
        scenario.builtin_provider("parrot", scenario.replying(text)),
        scenario.model("parrot-model", "parrot"),
        scenario.agent("parrot-agent", "parrot-model"),
    ]


async def publish(stack: Stack, text: str) -> int:
    async with stack.channel("registry") as channel:
        return await scenario.apply(channel, *saying(text))


async def inferred(channel: grpc.aio.Channel, version: int = 0) -> str:
    """What the router answers."""
    answer = await scenario.infer(channel, "parrot-model", "hi", thread_id="t", min_version=version)
    return answer.text


async def heard(channel: grpc.aio.Channel) -> str:
    """The same; nothing while the router has yet to learn of the model."""
    try:
        return await inferred(channel)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return ""


async def said(channel: grpc.aio.Channel, version: int = 0) -> str:
    """What a run of run control comes to."""
    run_id = await scenario.submit(channel, "parrot-agent", "hi", min_version=version)
    events = await scenario.follow_to_end(channel, run_id)
    return events[-1].run_finished.output_text


async def until_both_say(stack: Stack, text: str) -> None:
    """Ask until they do: nothing tells a client which state of the registry they follow."""
    async with stack.channel("router") as router, stack.channel("runcontrol") as runcontrol:
        while await heard(router) != text:
            await _PAUSE.sleep(0.05)
        # Run control calls the router: asked first, it could have an agent of the old state.
        while await said(runcontrol) != text:
            await _PAUSE.sleep(0.05)


def wipe(stack: Stack) -> None:
    for path in stack.data.glob("registry.db*"):
        path.unlink()


async def test_both_serve_what_they_have_and_follow_what_comes_back(stack: Stack) -> None:
    # given a backup, and then a newer version that both serve
    first = await publish(stack, "one")
    await stack.terminate("registry")
    backup = shutil.copy(stack.data / "registry.db", stack.data / "backup.db")
    await stack.start("registry")
    second = await publish(stack, "two")
    assert second == first + 1
    await until_both_say(stack, "two")
    async with stack.channel("router") as router, stack.channel("runcontrol") as runcontrol:
        assert await inferred(router, second) == "two"
        assert await said(runcontrol, second) == "two"

        # when the registry is lost, then both serve on
        await stack.kill("registry")
        assert await inferred(router, second) == "two"
        assert await said(runcontrol, second) == "two"

    # when the backup is put back, and has another second version before they see it again
    wipe(stack)
    shutil.copy(backup, stack.data / "registry.db")
    usual = stack.ports["registry"]
    stack.ports["registry"] = free_port()
    await stack.start("registry")
    assert await publish(stack, "three") == second
    await stack.terminate("registry")
    stack.ports["registry"] = usual
    await stack.start("registry")

    # then they serve that one
    await until_both_say(stack, "three")
    async with stack.channel("router") as router, stack.channel("runcontrol") as runcontrol:
        assert await inferred(router, second) == "three"
        assert await said(runcontrol, second) == "three"

    # when the registry loses its database
    await stack.kill("registry")
    wipe(stack)
    await stack.start("registry")
    assert await publish(stack, "four") == 2

    # then they serve what the new one has, which they can wait for
    await until_both_say(stack, "four")
    newest = await publish(stack, "five")
    async with stack.channel("router") as router, stack.channel("runcontrol") as runcontrol:
        assert await inferred(router, newest) == "five"
        assert await said(runcontrol, newest) == "five"
