"""The records that a server keeps: read once, and dropped when there is no room."""

from __future__ import annotations

import pytest

from services.runcontrol.core.execution import Claim
from services.runcontrol.core.model import StoredMessage
from services.runcontrol.engine.transcripts import Transcripts
from tests.unit.runcontrol.in_memory_runcontrol import InMemoryRunControl


class Reads:
    """``Execution.conversation``, which keeps the sequences it was asked for."""

    def __init__(self, system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch) -> None:
        self.after: list[int] = []
        read = system.execution.conversation

        async def conversation(claimed: Claim, after: int) -> list[StoredMessage]:
            self.after.append(after)
            return await read(claimed, after)

        monkeypatch.setattr(system.execution, "conversation", conversation)


async def test_a_step_reads_only_what_is_new(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a run whose record was read
    reads = Reads(system, monkeypatch)
    transcripts = Transcripts(system.execution)
    claimed = system.claim_new()
    system.advance(claimed)
    first = await transcripts.read(claimed)

    # when it has gone a step further
    system.answer(claimed, ("never", "{}"))
    second = await transcripts.read(claimed)

    # then the record is whole, and only its end was read again
    assert [each.seq for each in first] == [1]
    assert [each.seq for each in second] == [1, 2, 3]
    assert reads.after == [0, 1]
    assert second[0] is first[0]


async def test_the_record_that_was_read_longest_ago_is_dropped(
    system: InMemoryRunControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given room for one message of 2,000 characters and a bit
    reads = Reads(system, monkeypatch)
    transcripts = Transcripts(system.execution, max_kept=3_000)
    claims = [system.claim_new(text="x" * 2_000) for _ in range(2)]
    for claimed in claims:
        system.advance(claimed)

    # when two threads are read in turn
    for claimed in (*claims, claims[1], claims[0]):
        assert len(await transcripts.read(claimed)) == 1

    # then the first is read again
    assert reads.after == [0, 0, 1, 0]
