"""The event loop of a process: uvloop where it is installed, else the one of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, TypeVar

from services.chassis.config.settings import EventLoop
from services.chassis.startup import StartupRefusedError

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], which: EventLoop = EventLoop.AUTO) -> T:
    """Run ``main`` on a new loop and return its result.

    Raises:
        StartupRefusedError: ``which`` is uvloop and that is not installed.
    """
    with asyncio.Runner(loop_factory=loop_factory(which)) as runner:
        return runner.run(main)


def loop_factory(which: EventLoop) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop; None for the default of asyncio.

    Raises:
        StartupRefusedError: ``which`` is uvloop and that is not installed.
    """
    if which is EventLoop.ASYNCIO:
        return None
    if find_spec("uvloop") is None:
        if which is EventLoop.UVLOOP:
            raise StartupRefusedError(
                "the event loop is set to uvloop, which is not installed: pip install uvloop, or "
                "set it to auto"
            )
        return None
    # Where it is missing (Windows, PyPy) the process starts without it.
    import uvloop  # noqa: PLC0415

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
