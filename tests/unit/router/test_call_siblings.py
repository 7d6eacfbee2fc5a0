"""Siblings of calls: whatever members do, one of them has said what the caller is told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.content.model import FinishReason
from services.router.core.decision import AttemptKind, AttemptOutcome
from services.router.core.failures import FINAL, Failure, FailureClass
from services.router.core.items import Finished, Interrupted, Opened, TextDelta
from services.router.core.model import SwitchPolicy
from tests.support.scripted_adapter import Action, Break, Refuse
from tests.unit.router.in_memory_router import Outcome, router_of

MEMBERS = ("a", "b", "c")
# Those of providers; the others come from the router itself.
KINDS = sorted(set(FailureClass) - {FailureClass.CANCELLED}, key=lambda kind: kind.value)
# A hint of seconds would be waited for.
FAILURES = st.builds(
    Failure,
    st.sampled_from(KINDS),
    st.sampled_from([0, 429, 500]),
    st.sampled_from([None, 30.0]),
    repeatable=st.booleans(),
)


@dataclass(frozen=True)
class Turn:
    """What a member does with one request: answers, or fails before or after it has said a."""

    failure: Failure | None = None
    says: bool = True

    def actions(self, member_id: str) -> list[Action]:
        said: Action = [Opened("r"), TextDelta(member_id)]
        if self.failure is None:
            return [said, [TextDelta("!"), Finished(FinishReason.STOP)]]
        return [said, Break(self.failure)] if self.says else [Refuse(self.failure)]


TURNS = st.builds(Turn, st.none() | FAILURES, st.booleans())
POOLS = st.fixed_dictionaries(
    {
        "in_place_retries": st.integers(0, 1),
        "switch": st.builds(
            SwitchPolicy, st.booleans(), st.booleans(), st.booleans(), st.booleans()
        ),
    }
)


async def call(
    turns: dict[str, list[Turn]], settings: dict[str, Any]
) -> tuple[Outcome, Sequence[str]]:
    async with router_of(*MEMBERS, **settings) as (running, _):
        for member_id, listed in turns.items():
            for turn in listed:
                running.provider.will(member_id, turn.actions(member_id))
        return await running.ask(), running.provider.calls


@given(
    st.fixed_dictionaries({name: st.lists(TURNS, min_size=2, max_size=2) for name in MEMBERS}),
    POOLS,
)
def test_a_caller_is_told_what_one_member_has_said(
    turns: dict[str, list[Turn]], settings: dict[str, Any]
) -> None:
    # when
    outcome, called = asyncio.run(call(turns, settings))

    # then each member is called as often as the pool repeats, and not again once it was left
    attempts = outcome.decision.attempts
    assert [attempt.member_id for attempt in attempts] == called
    assert max(Counter(called).values()) <= 1 + settings["in_place_retries"]
    again = [two.kind is AttemptKind.RETRY for two in attempts[1:]]
    assert again == [one == two for one, two in pairwise(called)]
    turn = turns[called[-1]][Counter(called)[called[-1]] - 1]

    # and the end is that of the last request
    last = outcome.items[-1] if outcome.items else None
    said = "".join(item.text for item in outcome.items if isinstance(item, TextDelta))
    refused = turn.failure is not None and turn.failure.kind is FailureClass.CONTENT_POLICY
    match last:
        case Finished(FinishReason.STOP):
            assert turn.failure is None
            assert said == f"{called[-1]}!"
        case Finished(FinishReason.CONTENT_FILTER):
            assert refused
            assert said == (called[-1] if turn.says else "")
        case Interrupted(kind, resumable=resumable):
            assert turn.failure is not None
            assert turn.says
            assert kind is turn.failure.kind
            assert resumable is (kind not in FINAL)
            assert (said, outcome.reason) == (called[-1], "STREAM_INTERRUPTED")
        case _:
            assert turn.failure is not None
            assert not turn.says
            assert said == ""
            assert outcome.reason is not None
    # and a failure that is final for a member was not repeated
    for before, attempt in pairwise(attempts):
        failure = before.failure
        assert failure is not None
        assert attempt.kind is not AttemptKind.RETRY or failure.repeatable
        assert before.outcome is AttemptOutcome.FAILED
