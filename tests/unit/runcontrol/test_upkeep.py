"""The loop that deletes: what is due each second, old threads each minute, whatever fails."""

from __future__ import annotations

import pytest

from services.chassis.errors import StoreUnavailableError
from services.runcontrol.core.compacting import Compaction
from services.runcontrol.core.deleting import Deletion
from services.runcontrol.core.retention import Retention
from services.runcontrol.engine.upkeep import EVERY_S, OLD_EVERY_S, Upkeep
from tests.support.background import running
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl, run_until_idle

DAY_S = 86_400.0


def upkeep(system: InMemoryRunControl, days: int) -> Upkeep:
    store, clock = system.store, system.clock
    retention = Retention(store, clock, days, {})
    return Upkeep(Compaction(store, clock, 0.0), Deletion(store, clock), retention, clock)


def end_thread(system: InMemoryRunControl, thread_id: str) -> None:
    claimed = system.claim_new(thread_id=thread_id)
    system.advance(claimed)
    system.answer(claimed)


def buried(system: InMemoryRunControl) -> list[str]:
    return sorted(x.thread_id for x in system.tables.threads.values() if x.purged)


async def test_old_threads_are_looked_for_each_minute(system: InMemoryRunControl) -> None:
    # given a thread that is too old, and one that is too old within the minute
    end_thread(system, "old")
    system.clock.advance(OLD_EVERY_S / 2)
    end_thread(system, "younger")
    system.clock.advance(DAY_S - OLD_EVERY_S / 2 + 1)

    # when the loop runs, and a minute passes
    found = []
    async with running(upkeep(system, days=1).run()):
        for pause_s in (0.0, EVERY_S, OLD_EVERY_S / 2, OLD_EVERY_S / 2):
            system.clock.advance(pause_s)
            await run_until_idle()
            found.append(buried(system))

    # then each is deleted in the round that found it, with what it had
    assert found == [["old"], ["old"], ["old"], ["old", "younger"]]
    assert list(system.tables.runs) == []


async def test_a_round_that_fails_is_followed_by_another(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an old thread, and a database that is away
    end_thread(system, "old")
    system.clock.advance(2 * DAY_S)

    async def away(_: object) -> None:
        raise StoreUnavailableError("no connection", cause="CONNECTION_LOST")

    async with running(upkeep(system, days=1).run()):
        with monkeypatch.context() as broken:
            broken.setattr(system.store, "write", away)
            await run_until_idle()
            assert buried(system) == []

        # when it is back
        system.clock.advance(EVERY_S)
        await run_until_idle()

    # then the thread goes
    assert buried(system) == ["old"]
