"""``runyard explain``: what a call would do, in words and as data."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runyard.registry.v1 import registry_pb2 as reg
from tests.contract.cli.process import runyard
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    builtin,
    failing,
    limited_pool,
    model,
    pool,
)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Where a router is whose pool ``narration`` has moved a session from its limited home, and
    whose pool ``blind`` has a member that says of itself that it can nothing.
    """
    servers = RouterUnderTest(tmp_path)
    unable = model("unable", "faulty")
    unable.model.capabilities.SetInParent()
    switch = reg.PoolSwitch(max_switches_per_session=2)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(
            *limited_pool(),
            builtin("faulty", failing(reg.BUILTIN_FAULT_KIND_SERVER_ERROR)),
            unable,
            pool("blind", "unable", switch=switch),
        )
        await servers.infer("narration", thread_id="t")
        assert servers.router is not None
        yield {"RUNYARD_ENDPOINTS": f"router={servers.router.target}"}
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_members_are_told_in_order_with_what_sets_them_aside(at: dict[str, str]) -> None:
    # when
    text = await runyard("explain", "narration", "--thread", "t", **at)

    # then
    assert text.code == 0, text.err
    title, needs, held, columns, second, first, end = text.out.splitlines()
    assert title.startswith("pool narration, session thread:t, at home on first, registry version ")
    assert needs == "needs nothing that a model could lack"
    assert held.startswith("narration: thread:t is held on second instead of first (rate limit)")
    assert columns.split() == ["MEMBER", "RANK", "WEIGHT", "CIRCUIT", "SET", "ASIDE"]
    assert second.split()[0] == "second"
    assert second.split()[2:] == ["failover", "only", "closed"]
    assert first.split()[0] == "first"
    assert "closed   quota deadline until " in first
    assert end.startswith(
        "the first call would go to second of provider script (session: pinned since "
    )
    assert end.endswith(" UTC, rate limit)")


async def test_what_is_missing_is_told_with_the_error(at: dict[str, str]) -> None:
    # when
    needed = ["--tool", "search", "--image", "http://image.example"]
    text = await runyard("explain", "blind", "x" * 800, *needed, **at)
    data = await runyard("explain", "blind", *needed, "-o", "json", **at)

    # then
    assert text.code == data.code == 0, text.err + data.err
    lines = text.out.splitlines()
    assert lines[1] == "needs a context of 100 or more tokens, tools, images"
    assert lines[2] == "may move 2 more times until it is answered"
    assert lines[4].endswith("closed   incapable (tools, images)")
    assert lines[5] == (
        "no member would be called, NO_CAPABLE_MEMBER: no member of 'blind' can do what the "
        "request needs (unable: tools, images)"
    )
    answer = json.loads(data.out)
    assert answer["needs"]["features"] == ["tools", "images"]
    assert answer["error"]["details"][0]["reason"] == "NO_CAPABLE_MEMBER"


@pytest.mark.parametrize(
    ("options", "session"),
    [
        (["--session", "k"], "key:k"),
        (["--thread", "t9", "--session", "k"], "thread:t9"),
        (["--agent", "a", "--run", "r"], "agent:a"),
        ([], ""),
    ],
)
async def test_the_session_is_that_of_the_options(
    at: dict[str, str], options: list[str], session: str
) -> None:
    data = await runyard("explain", "narration", *options, "-o", "json", **at)
    assert json.loads(data.out)["decision"]["session"] == session
