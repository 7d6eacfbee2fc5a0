"""``runyard router``: the state of members and sessions, shown and changed."""

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

NO_RETRY = reg.PoolRetry(in_place=0)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Where a router is whose pool ``narration`` is limited at home and has moved its session, and
    whose pool ``broken`` has an open circuit.
    """
    servers = RouterUnderTest(tmp_path)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(
            *limited_pool(),
            builtin("faulty", failing(reg.BUILTIN_FAULT_KIND_SERVER_ERROR)),
            model("bad", "faulty"),
            builtin("shut", failing(reg.BUILTIN_FAULT_KIND_UNAUTHORIZED)),
            model("denied", "shut"),
            pool("guarded", "denied", failover_only=["second"]),
            pool("broken", "bad", breaker=reg.PoolBreaker(failure_threshold=1), retry=NO_RETRY),
        )
        await servers.infer("narration", thread_id="t")
        await servers.infer("broken")
        await servers.infer("guarded")
        assert servers.router is not None
        yield {"RUNYARD_ENDPOINTS": f"router={servers.router.target}"}
    finally:
        await servers.stop_router()
        await servers.stop_registry()


async def test_circuits_deadlines_and_pins_are_shown(at: dict[str, str]) -> None:
    # when
    text = await runyard("router", "state", **at)
    data = await runyard("router", "state", "broken", "-o", "json", **at)
    unknown = await runyard("router", "state", "narratoin", **at)

    # then
    assert text.code == data.code == 0, text.err + data.err
    assert "broken: bad, circuit open until " in text.out
    assert "failed calls in a row: 1, last server error at " in text.out
    assert "narration: first, circuit closed, in a quota deadline until " in text.out
    assert "guarded: denied, circuit closed, quarantined for auth, round 1, until " in text.out
    assert "narration: thread:t is held on second instead of first (rate limit)" in text.out
    answer = json.loads(data.out)
    assert [each["member_id"] for each in answer["members"]] == ["bad"]
    assert answer["pins"] == []
    assert answer["instance_id"] in text.out
    assert unknown.code == 1
    assert "did you mean 'narration'?" in unknown.err


async def test_members_are_reset_and_sessions_unpinned(at: dict[str, str]) -> None:
    # when
    reset = await runyard("router", "reset-member", "broken", "bad", **at)
    every = await runyard("router", "reset-member", "narration", "-o", "json", **at)
    unpinned = await runyard("router", "unpin", "narration", "thread:t", **at)
    again = await runyard("router", "unpin", "narration", "thread:t", **at)
    data = await runyard("router", "unpin", "narration", "thread:t", "-o", "json", **at)
    after = await runyard("router", "state", **at)

    # then
    assert reset.out.strip() == "broken: bad, circuit closed"
    assert [each["member_id"] for each in json.loads(every.out)["members"]] == ["first", "second"]
    assert unpinned.out.strip() == "thread:t is no longer held on second"
    assert again.out.strip() == "thread:t was not held on a member"
    assert json.loads(data.out) == {}
    assert "broken: bad, circuit closed" in after.out
    assert "quota deadline" not in after.out
    assert "no session is held on a member" in after.out


async def test_members_are_cordoned_and_uncordoned(at: dict[str, str]) -> None:
    # when
    cordoned = await runyard("router", "cordon", "narration", "second", **at)
    state = await runyard("router", "state", "narration", **at)
    alone = await runyard("router", "cordon", "broken", "bad", **at)
    data = await runyard("router", "uncordon", "narration", "second", "-o", "json", **at)
    text = await runyard("router", "uncordon", "narration", "second", **at)

    # then
    assert cordoned.out.startswith("narration: second, circuit closed, cordoned since ")
    assert "narration: second, circuit closed, cordoned since " in state.out
    assert alone.code == 2
    assert "is the only member of 'broken'" in alone.err
    assert json.loads(data.out)["member"]["member_id"] == "second"
    assert text.out.strip() == "narration: second, circuit closed"
