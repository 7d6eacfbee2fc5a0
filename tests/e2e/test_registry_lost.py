"""Router and run control over a registry that is away, put back to an older state, or wiped."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable

import grpc
import pytest

from services.chassis.clock import SystemClock
from tests.e2e.conftest import apply
from tests.support import clients
from tests.support.stack import Stack, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

# Between two questions to a process in which there is no event of ours to wait for.
_PAUSE = SystemClock()


async def publish(stack: Stack, text: str) -> int:
    """Apply a provider that says ``text``, a model of it and an agent on that."""
    return await apply(
        stack,
        clients.builtin_provider("parrot", clients.replying(text)),
        clients.model("parrot-model", "parrot"),
        clients.agent("parrot-agent", "parrot-model"),
    )


async def inferred(channel: grpc.aio.Channel, version: int = 0) -> str:
    """What the router answers."""
    answer = await clients.infer(channel, "parrot-model", "hi", thread_id="t", min_version=version)
    return answer.text


async def said(channel: grpc.aio.Channel, version: int = 0) -> str:
    """What a run of run control comes to."""
    run_id = await clients.submit(channel, "parrot-agent", "hi", min_version=version)
    events = await clients.follow_to_end(channel, run_id)
    return events[-1].run_finished.output_text


async def unless(code: grpc.StatusCode, answer: Awaitable[str]) -> str:
    """``answer``, or nothing where it is refused with ``code``."""
    try:
        return await answer
    except grpc.aio.AioRpcError as error:
        if error.code() is not code:
            raise
        return ""


async def both(stack: Stack, version: int) -> tuple[str, str]:
    """What the router answers and what a run comes to, with ``version`` or a later one."""
    async with stack.channel("router") as router, stack.channel("runcontrol") as runcontrol:
        return await inferred(router, version), await said(runcontrol, version)


async def until_both_say(stack: Stack, text: str, version: int = 0) -> None:
    """Ask until they do: nothing tells a client which state of the registry they follow."""
    async with stack.channel("router") as router, stack.channel("runcontrol") as runcontrol:
        # Not found: the router has yet to learn of the model.
        while await unless(grpc.StatusCode.NOT_FOUND, inferred(router)) != text:
            await _PAUSE.sleep(0.05)
        # Run control calls the router: asked first, it could have an agent of the old state.
        # Unavailable: it has yet to learn of ``version``.
        while await unless(grpc.StatusCode.UNAVAILABLE, said(runcontrol, version)) != text:
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
    await until_both_say(stack, "two", second)
    assert await both(stack, second) == ("two", "two")

    # when the registry is lost, then both serve on
    await stack.kill("registry")
    assert await both(stack, second) == ("two", "two")

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
    assert await both(stack, second) == ("three", "three")

    # when the registry loses its database
    await stack.kill("registry")
    wipe(stack)
    await stack.start("registry")
    assert await publish(stack, "four") == 2

    # then they serve what the new one has, which they can wait for
    await until_both_say(stack, "four")
    newest = await publish(stack, "five")
    assert await both(stack, newest) == ("five", "five")
