"""The event loop that a process runs on."""

from __future__ import annotations

import asyncio

import pytest

from services.chassis.config.settings import EventLoop
from services.chassis.server import loop
from services.chassis.startup import StartupRefusedError


async def _loop_module() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.mark.parametrize(
    ("which", "module"),
    [
        (EventLoop.AUTO, "uvloop"),
        (EventLoop.UVLOOP, "uvloop"),
        (EventLoop.ASYNCIO, "asyncio"),
    ],
)
def test_the_setting_chooses_the_loop(which: EventLoop, module: str) -> None:
    assert loop.run(_loop_module(), which) == module


def test_without_uvloop_auto_is_the_loop_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "find_spec", lambda _name: None)
    assert loop.loop_factory(EventLoop.AUTO) is None
    with pytest.raises(StartupRefusedError, match="pip install uvloop"):
        loop.loop_factory(EventLoop.UVLOOP)
