"""A process that is killed while it writes."""

from __future__ import annotations

import signal

import pytest

from tests.contract.chassis_store.children import child, line
from tests.contract.chassis_store.engines import Engine, balance_in, ids


@pytest.mark.parametrize("acknowledged", [1, 40, 500])
async def test_a_kill_in_a_write_storm_loses_no_acknowledged_write(
    engine: Engine, acknowledged: int
) -> None:
    # given a process that writes as fast as it can and says what was acknowledged
    with child(engine, "16") as writer:
        assert line(writer) == "ready"
        told = [line(writer) for _ in range(acknowledged)]

        # when it is killed in the middle, and what it still said is read
        writer.send_signal(signal.SIGKILL)
        assert writer.stdout is not None
        rest = writer.stdout.read()
        told += rest[: rest.rfind("\n") + 1].splitlines()

    # then every acknowledged row is there, and none of them by half
    async with engine.open() as store:
        kept = set(await ids(store))
        assert len(told) >= acknowledged
        assert set(told) <= kept
        assert await store.read(lambda tx: {balance_in(tx, each) for each in told}) == {1}
