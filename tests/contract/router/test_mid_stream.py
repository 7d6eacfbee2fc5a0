"""Answers in both HTTP dialects that break off at any position, and start over elsewhere."""

from __future__ import annotations

import pytest

from runyard.provider.v1 import provider_pb2 as prov
from runyard.registry.v1 import registry_pb2 as reg
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    answered_as_messages,
    builtin,
    model,
    pool,
    served_by,
)
from tests.support import messages_events as messages
from tests.support.fake_provider import Cut, FakeProvider, Move, event, finish, stream, text

OPENAI: list[bytes] = [*text("lost ", "words ", "here"), *finish()]
ANTHROPIC: list[bytes] = [
    messages.start(),
    *messages.text_block(0, "lost ", "words ", "here"),
    *messages.end(),
]
FAULTS: dict[str, Move] = {
    "cut": Cut(),
    "garbage": b"data: {no json\n\n",
    "error": event({"type": "error", "error": {"type": "api_error", "message": "broken"}}),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_wherever_it_breaks_off_the_caller_gets_one_answer(
    running: RouterUnderTest, provider: FakeProvider, dialect: str, fault: str
) -> None:
    # given a pool that starts over, whatever fails before the commit point or after it
    whole = OPENAI if dialect == "openai" else ANTHROPIC
    served = served_by if dialect == "openai" else answered_as_messages
    await running.apply(
        *served(provider, "home"),
        builtin("script"),
        model("spare", "script"),
        pool(
            "p",
            "home",
            failover_only=["spare"],
            mid_stream=reg.MID_STREAM_RESTART,
            retry=reg.PoolRetry(in_place=0),
            breaker=reg.PoolBreaker(failure_threshold=1000),
            switch=reg.PoolSwitch(on_retry_exhausted=True),
        ),
    )
    resets = 0

    # when it breaks before each of its events but those after the finish
    for position in range(len(whole) - 1):
        provider.answers(stream(*whole[:position], FAULTS[fault]))
        received = await running.infer("p", "all is well", thread_id=f"t{position}")

        # then all that counts comes from the other member
        assert received.error is None, position
        assert received.members == ["home", "spare"]
        places = [n for n, kind in enumerate(received.kinds) if kind == "stream_reset"]
        counting = received.items[places[-1] if places else 0 :]
        assert "".join(item.text_delta.text for item in counting) == "all is well"
        assert ("lost" in received.text) is bool(places)
        assert received.kinds[-1] == "finished"
        resets += len(places)
    assert resets >= 2
    last = received.decision.attempts[0].failure
    assert last in {
        prov.FAILURE_CLASS_STREAM_TRUNCATED,
        prov.FAILURE_CLASS_STREAM_MALFORMED,
        prov.FAILURE_CLASS_SERVER_ERROR,
    }
