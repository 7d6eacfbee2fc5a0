"""A thread or lease that somebody keeps locked delays itself alone, on a database with replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from services.chassis.follow.notifier import LocalNotifier
from services.chassis.store.opening import open_store
from services.runcontrol.core.claiming import LEASE_S
from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import RunState
from services.runcontrol.store.tables import MIGRATIONS, metadata
from tests.contract.runcontrol.test_two_servers import Server
from tests.support.clock import ManualClock
from tests.support.engines import on_postgresql

pytestmark = on_postgresql

DAY_S = 86_400.0


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Server]:
    opened = open_store(
        urls["runcontrol"],
        metadata=metadata,
        migrations=MIGRATIONS,
        notifier=LocalNotifier(clock),
    )
    async with opened as database:
        yield Server(database, clock, "server")


@contextmanager
def locked(url: str, query: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Somebody keeps the rows of ``query`` until the end of the block."""
    with psycopg.connect(url) as shell:
        assert shell.execute(f"{query} FOR UPDATE").rowcount == 1  # type: ignore[arg-type]  # a test's own text
        yield shell
        shell.rollback()


async def _three(server: Server) -> list[str]:
    """The runs of three threads, the first of which is the first in every order."""
    return [(await server.submit(f"t-{number}")).run_id for number in range(3)]


async def _claimed(server: Server) -> list[Claim]:
    claims = await server.execution.claim(10)
    assert len(claims) == 3
    return claims


FIRST_THREAD = "SELECT * FROM thread WHERE thread_id = 't-0'"


async def test_a_locked_thread_is_claimed_when_it_is_free_and_the_others_at_once(
    server: Server, urls: dict[str, str]
) -> None:
    run_ids = await _three(server)
    with locked(urls["runcontrol"], FIRST_THREAD):
        others = await server.execution.claim(10)
    (first,) = await server.execution.claim(10)

    assert [each.run.run_id for each in (first, *others)] == run_ids


async def test_a_locked_thread_does_not_hold_up_the_takeover_of_the_others(
    server: Server, urls: dict[str, str], clock: ManualClock
) -> None:
    # given three leases that lapsed
    await _three(server)
    await _claimed(server)
    clock.advance(LEASE_S + 1)

    # when, then
    with locked(urls["runcontrol"], FIRST_THREAD):
        assert await server.execution.reclaim_lapsed() == 2
    assert await server.execution.reclaim_lapsed() == 1


async def test_a_locked_thread_does_not_hold_up_the_deadlines_of_the_others(
    server: Server, urls: dict[str, str], clock: ManualClock
) -> None:
    # given three queued runs whose deadline has passed
    run_ids = await _three(server)
    clock.advance(DAY_S + 3600)

    # when, then
    with locked(urls["runcontrol"], FIRST_THREAD):
        assert await server.execution.expire_due() == 2
    assert await server.execution.expire_due() == 1
    assert {await server.state(each) for each in run_ids} == {RunState.DONE}


async def test_a_locked_lease_is_kept_and_the_others_are_renewed(
    server: Server, urls: dict[str, str], clock: ManualClock
) -> None:
    # given three runs that execute
    await _three(server)
    claims = await _claimed(server)
    held = frozenset((c.run.tenant, c.run.thread_id, c.fence) for c in claims)
    clock.advance(LEASE_S - 1)

    # when one lease cannot be renewed
    with locked(urls["runcontrol"], "SELECT * FROM lease WHERE thread_id = 't-0'"):
        kept = await server.execution.renew(held)

    # then its run goes on, under what is left of it
    left_s = {lease.thread_id: (lease.until - clock.now()).total_seconds() for lease in kept}
    assert left_s == {"t-0": 1.0, "t-1": LEASE_S, "t-2": LEASE_S}


@pytest.mark.parametrize("serve", ["claim", "reclaim", "expire"])
async def test_a_faulty_row_delays_itself_alone(
    server: Server, urls: dict[str, str], clock: ManualClock, serve: str
) -> None:
    # given three rows to serve
    await _three(server)
    if serve == "reclaim":
        await _claimed(server)
        clock.advance(LEASE_S + 1)
    if serve == "expire":
        clock.advance(DAY_S + 3600)

    # when the first cannot be loaded
    with psycopg.connect(urls["runcontrol"], autocommit=True) as shell:
        spoilt = shell.execute("UPDATE dispatch SET causes = '7' WHERE thread_id = 't-0'")
        assert spoilt.rowcount == 1
    served: dict[str, Callable[[], Awaitable[object]]] = {
        "claim": lambda: _count(server.execution.claim(10)),
        "reclaim": server.execution.reclaim_lapsed,
        "expire": server.execution.expire_due,
    }

    # then the others are served
    assert await served[serve]() == 2


async def _count(claims: Awaitable[list[Claim]]) -> int:
    return len(await claims)
