"""A PostgreSQL server that goes away, and comes back: nothing acknowledged is lost, all is told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from services.chassis import failpoints
from services.chassis.errors import StoreUnavailableError
from services.chassis.store.errors import DatabaseRefusedError, OutcomeUnknownError
from services.chassis.store.opening import Tuning
from services.chassis.store.port import Store, Tx
from services.chassis.store.postgres.workers import RepeatLimits
from tests.contract.chassis_store.engines import (
    Engine,
    add,
    add_and_notify,
    balance_in,
    ids,
    postgres_tuning,
)
from tests.contract.chassis_store.schema import ADD, IDS, PID
from tests.support.postgres import PrivateCluster, execute, private_cluster
from tests.support.waiting import until

WRITERS = 8


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateCluster]:
    with private_cluster() as started:
        yield started


@pytest.fixture
def engine(cluster: PrivateCluster) -> Iterator[Engine]:
    """The cluster's only database, emptied afterwards; whoever crashed it has started it again."""
    yield Engine(cluster.url)
    execute(cluster.url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def giving_up_after(outage_s: float, **numbers: float) -> Tuning:
    return postgres_tuning(repeat_limits=RepeatLimits(outage_s=outage_s), **numbers)


@dataclass
class Load:
    """Writers that note what became of each row; every row takes two statements."""

    store: Store
    kept: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, name: int) -> None:
        number = 0
        while True:
            id_ = f"{name}-{number}"
            (await self._outcome(id_)).add(id_)
            self._changed.set()
            number += 1

    async def _outcome(self, id_: str) -> set[str]:
        try:
            await self.store.write(add_and_notify(id_))
        except OutcomeUnknownError:
            return self.unknown
        except StoreUnavailableError:
            return self.refused
        return self.kept

    async def more(self, outcome: set[str], count: int) -> None:
        """Until ``count`` more rows have that outcome."""
        wanted = len(outcome) + count
        while len(outcome) < wanted:
            self._changed.clear()
            await self._changed.wait()


@pytest.mark.parametrize("stop", [PrivateCluster.kill, PrivateCluster.stop])
async def test_a_server_that_stops_under_load_loses_nothing_acknowledged(
    cluster: PrivateCluster, engine: Engine, stop: object
) -> None:
    # given writers in full flight, and little patience
    async with engine.open(tuning=giving_up_after(0.3)) as store:
        load = Load(store)
        writers = [asyncio.ensure_future(load.write(name)) for name in range(WRITERS)]
        await load.more(load.kept, 100)

        # when the server stops, callers are told, and it comes back
        await asyncio.to_thread(stop, cluster)  # type: ignore[arg-type]  # a method of it
        await load.more(load.refused, WRITERS)
        await asyncio.to_thread(cluster.start)

        # then the same store goes on
        await load.more(load.kept, 100)
        for each in writers:
            each.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        found = set(await ids(store))
        whole = await store.read(lambda tx: {balance_in(tx, each) for each in found})

    # what was acknowledged is there, what was refused is not, and nothing is there by half
    assert load.kept <= found
    assert not load.refused & found
    assert whole == {1}


async def test_a_short_restart_is_not_noticed(cluster: PrivateCluster, store: Store) -> None:
    # given
    await store.write(add("before"))

    # when
    await asyncio.to_thread(cluster.restart)

    # then
    assert await store.write(add("after")) == "after"
    assert await ids(store) == ["after", "before"]
    assert [row.id for row in await store.fetch(IDS)] == ["after", "before"]


async def test_who_waits_for_the_server_is_served_when_it_is_back(
    cluster: PrivateCluster, engine: Engine
) -> None:
    """A closure is run again, so that a failover costs its caller a moment and no error."""
    async with engine.open(tuning=giving_up_after(60.0)) as store:
        # given
        await asyncio.to_thread(cluster.kill)

        # when more want to write than there are threads
        waiting = [asyncio.ensure_future(store.write(add(f"{n:02}"))) for n in range(20)]
        reading = asyncio.ensure_future(ids(store))
        await asyncio.to_thread(cluster.start)

        # then
        assert await asyncio.gather(*waiting) == [f"{n:02}" for n in range(20)]
        assert set(await reading) <= set(await ids(store))


async def test_a_standby_is_waited_for_until_it_is_promoted(
    cluster: PrivateCluster, engine: Engine
) -> None:
    """A failover: the address answers again, but for a while it takes no writes."""
    async with engine.open(tuning=giving_up_after(60.0)) as store:
        # given
        await store.write(add("before"))
        await asyncio.to_thread(cluster.kill)
        (cluster.data / "standby.signal").touch()
        await asyncio.to_thread(cluster.start)

        # when
        waiting = asyncio.ensure_future(store.write(add("after")))
        with pytest.raises(DatabaseRefusedError, match="name the primary"):
            await engine.open().__aenter__()
        assert not waiting.done()
        await asyncio.to_thread(execute, cluster.url, "SELECT pg_promote()")

        # then
        assert await waiting == "after"
        assert await ids(store) == ["after", "before"]


async def test_a_server_that_stays_away_makes_the_store_unavailable(
    cluster: PrivateCluster, engine: Engine
) -> None:
    try:
        async with engine.open(tuning=giving_up_after(0.05)) as store:
            # given
            await asyncio.to_thread(cluster.kill)

            # when
            outcomes = await asyncio.gather(
                *(store.write(add(str(n))) for n in range(20)),
                ids(store),
                store.fetch(IDS),
                return_exceptions=True,
            )

            # then
            assert {type(each) for each in outcomes} == {StoreUnavailableError}
            told = {(each.metadata["cause"], each.retry_after_s) for each in outcomes}  # type: ignore[union-attr]  # as just said
            assert told == {("CONNECTION_LOST", 1.0)}
            assert not any("127.0.0.1" in str(each) for each in outcomes)

            # and closing does not wait for it
    finally:
        await asyncio.to_thread(cluster.start)


@pytest.mark.parametrize("stop", [PrivateCluster.kill, PrivateCluster.stop])
async def test_a_store_that_nobody_uses_notices_an_outage_and_its_end(
    cluster: PrivateCluster, engine: Engine, stop: Callable[[PrivateCluster], None]
) -> None:
    async with engine.open() as store:
        await until(lambda: _listens(cluster))
        assert store.unavailable_cause == ""

        # when it stops
        await asyncio.to_thread(stop, cluster)
        try:
            await until(lambda: store.unavailable_cause != "")
        finally:
            await asyncio.to_thread(cluster.start)

        # then it is unavailable until the server is back
        await until(lambda: store.unavailable_cause == "")
        assert await store.write(add("after")) == "after"


async def test_a_server_that_turns_read_only_is_unavailable_until_it_takes_writes(
    cluster: PrivateCluster, engine: Engine
) -> None:
    """Managed servers do so when their disk is nearly full."""
    async with engine.open() as store:
        await store.write(add("before"))
        execute(cluster.url, "ALTER SYSTEM SET default_transaction_read_only = on")
        execute(cluster.url, "SELECT pg_reload_conf()")
        try:
            # when
            await until_refused(store)

            # then
            assert store.unavailable_cause == "READ_ONLY_SQL_TRANSACTION"
            assert "before" in await ids(store)
        finally:
            execute(cluster.url, "ALTER SYSTEM RESET default_transaction_read_only")
            execute(cluster.url, "SELECT pg_reload_conf()")
        await until(lambda: store.unavailable_cause == "")
        assert await store.write(add("after")) == "after"


def _listens(cluster: PrivateCluster) -> bool:
    found = execute(cluster.url, "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    return bool(found)


async def until_refused(store: Store) -> None:
    """Write until a connection has read the new configuration."""
    number = 0
    with suppress(StoreUnavailableError):
        while await store.write(add(f"before-{number}")):
            number += 1


async def test_a_connection_lost_in_the_commit_leaves_the_outcome_open(
    cluster: PrivateCluster, store: Store
) -> None:
    """Only its caller can find out, by its request id; running it again could do it twice."""
    # given a closure that has run, and is about to be committed
    pids: list[int] = []

    def adds(tx: Tx) -> None:
        tx.run(ADD, id="a", balance=0)
        pids.append(tx.all(PID)[0].pid)

    with failpoints.armed("store.committing=hang@1") as arming:
        writing = asyncio.ensure_future(store.write(adds))
        await asyncio.to_thread(arming["store.committing"].acted.wait)

        # when its connection is cut there
        execute(cluster.url, f"SELECT pg_terminate_backend({pids[0]}, 5000)")
    with pytest.raises(OutcomeUnknownError, match="repeat it with its request id") as unknown:
        await writing

    # then it was not run again
    assert unknown.value.metadata == {"cause": "OUTCOME_UNKNOWN"}
    assert len(pids) == 1
    assert await ids(store) == []


def _processes(cluster: PrivateCluster) -> list[int]:
    """Of the server: the first, and one for each connection."""
    first = int((cluster.data / "postmaster.pid").read_text().split()[0])
    found = execute(cluster.url, "SELECT pid FROM pg_stat_activity")
    return [first, *(int(str(pid)) for (pid,) in found)]


def _signal(processes: list[int], number: int) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):  # that of our own question has ended
            os.kill(pid, number)


@pytest.mark.slow
async def test_a_server_that_is_frozen_is_given_up_and_comes_back(
    cluster: PrivateCluster, engine: Engine
) -> None:
    """Its kernel still acknowledges everything, so that no limit of TCP ends the wait."""
    async with engine.open(tuning=giving_up_after(0.5, frozen_limit_s=0.5)) as store:
        await store.write(add("before"))
        processes = _processes(cluster)
        _signal(processes, signal.SIGSTOP)
        try:
            # when
            async with asyncio.timeout(60):
                refused = await asyncio.gather(
                    *(store.write(add(str(number))) for number in range(20)),
                    store.read(lambda tx: tx.all(IDS)),
                    store.fetch(IDS),
                    return_exceptions=True,
                )
        finally:
            _signal(processes, signal.SIGCONT)

        # then everybody has heard of it, and nothing of it stays
        assert {type(each) for each in refused} == {StoreUnavailableError}
        while True:
            with suppress(StoreUnavailableError):
                await store.write(add("after"))
                break
        assert await ids(store) == ["after", "before"]


@pytest.mark.chaos
async def test_a_store_that_nobody_uses_notices_a_frozen_server(
    cluster: PrivateCluster, engine: Engine
) -> None:
    """Nothing tells it so: the connection for notifications asks every few seconds."""
    async with engine.open() as store:
        await until(lambda: _listens(cluster))
        processes = _processes(cluster)
        _signal(processes, signal.SIGSTOP)
        try:
            await until(lambda: store.unavailable_cause == "NO_ANSWER")
        finally:
            _signal(processes, signal.SIGCONT)
        await until(lambda: store.unavailable_cause == "")
