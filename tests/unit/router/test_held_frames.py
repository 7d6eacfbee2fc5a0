"""How much of an answer is held before its first content: beyond that it counts as begun."""

from __future__ import annotations

import pytest

from services.content.model import Usage
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Interrupted, Opened, Started, UpstreamItem, UsageReport
from services.router.core.model import SwitchPolicy
from tests.support.scripted_adapter import Action, Break
from tests.unit.router.in_memory_router import router_of

CUT = Failure(FailureClass.STREAM_TRUNCATED)
FAILS_OVER = {"in_place_retries": 0, "switch": SwitchPolicy(on_retry_exhausted=True)}
COUNT = UsageReport(Usage(3, 0))
# Of an item, besides its texts.
OVERHEAD = 64


def opened(size_bytes: int) -> Opened:
    return Opened("r" * (size_bytes - OVERHEAD))


HELD: dict[str, list[list[UpstreamItem]]] = {
    "63 items in reads of their own": [[COUNT]] * 63,
    "63 items in one read": [[COUNT] * 63],
    "262,143 bytes": [[opened(131_072)], [opened(131_071)]],
}
TOO_MUCH: dict[str, list[list[UpstreamItem]]] = {
    "64 items in reads of their own": [[COUNT]] * 64,
    "64 items in one read": [[COUNT] * 64],
    "262,144 bytes": [[opened(131_072)], [opened(131_072)]],
    "262,144 bytes in one read": [[opened(262_144)]],
}


@pytest.mark.parametrize("reads", HELD.values(), ids=HELD)
async def test_up_to_the_limit_another_member_takes_over_unseen(
    reads: list[list[UpstreamItem]],
) -> None:
    # given a home that sends so much before its first content, and breaks off
    begun: list[Action] = [*reads, Break(CUT)]
    async with router_of("a", "b", **FAILS_OVER) as (running, (home, other)):
        running.provider.will(home, begun)

        # when
        outcome = await running.ask()

        # then
        assert outcome.raised is None
        assert running.provider.calls == [home, other]
        assert UsageReport not in map(type, outcome.items)


@pytest.mark.parametrize("reads", TOO_MUCH.values(), ids=TOO_MUCH)
async def test_at_the_limit_the_answer_has_begun(reads: list[list[UpstreamItem]]) -> None:
    # given
    begun: list[Action] = [*reads, Break(CUT)]
    async with router_of("a", "b", **FAILS_OVER) as (running, (home, _)):
        running.provider.will(home, begun)

        # when
        outcome = await running.ask()

        # then what was held is sent, and nobody else is asked
        sent = [item for read in reads for item in read if isinstance(item, UsageReport)]
        first, *counts, last = outcome.items
        assert isinstance(first, Started)
        assert counts == sent
        assert isinstance(last, Interrupted)
        assert running.provider.calls == [home]
