"""An error at each named moment of a router: it serves on, and what failed is done again."""

from __future__ import annotations

import pytest

from services.chassis import failpoints
from services.chassis.failpoints import FailpointError
from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.router.clients.credentials import digest_of
from services.router.core.pins import Pins
from services.router.engine.changes import RoutingChanges
from services.router.engine.routing_state import RoutingState
from services.router.engine.state_sharing import StateSharing
from services.router.store.router_store import CHANNEL, SqlRouterStore
from services.router.store.tables import MIGRATIONS, metadata
from tests.contract.router.router_under_test import RouterUnderTest, scripted
from tests.support.clients import replying
from tests.support.clock import ManualClock
from tests.support.engines import on_both_engines
from tests.unit.router.builders import a_pin


def test_every_moment_of_a_router_has_a_name() -> None:
    assert failpoints.names("router.") + failpoints.names("snapshot.") == [
        "router.pin_write",
        "snapshot.swap",
    ]


async def test_pins_that_were_not_written_are_written_by_the_next_flush(database_url: str) -> None:
    notifier = LocalNotifier(ManualClock())
    opened = open_store(database_url, metadata=metadata, migrations=MIGRATIONS, notifier=notifier)
    async with opened as store:
        # given two changed pins
        changes, stored = RoutingChanges(), SqlRouterStore(store)
        pins = Pins(changes=changes)
        routing = RoutingState(pins, digest_of, changes)
        sharing = StateSharing(routing, changes, stored, ManualClock(), CHANNEL)
        for session in ("thread:1", "thread:2"):
            pins.put(a_pin(session))

        # when the database fails as they are written
        with failpoints.armed("router.pin_write=error@1"), pytest.raises(FailpointError):
            await sharing.flush()
        between = (await stored.load(10)).entries
        await sharing.flush()

        # then none is stored, and the next flush stores both
        assert between == []
        assert len((await stored.load(10)).entries) == 2


@on_both_engines
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_snapshot_that_could_not_be_shown_is_taken_again(
    running: RouterUnderTest, nth: int
) -> None:
    # given a router with a snapshot
    await running.apply(*scripted(replying("old")))
    assert (await running.infer("m")).text == "old"

    # when it restarts and the registry changes, and showing a snapshot fails once: the kept one,
    # or the changed one
    with failpoints.armed(f"snapshot.swap=error@{nth}") as arming:
        await running.restart_router()
        await running.apply(*scripted(replying("new")))
        answer = await running.infer("m")

    # then the changed one is shown in the end
    assert arming["snapshot.swap"].reached > nth
    assert answer.text == "new"
