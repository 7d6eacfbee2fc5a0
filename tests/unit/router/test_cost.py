"""What calls cost: exact, by the prices of the model, and absent where a price is unknown."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.content.model import FinishReason, Usage
from services.router.core.cost import priced
from services.router.core.failures import Failure, FailureClass
from services.router.core.items import Finished, Interrupted, Opened, TextDelta, UsageReport
from services.router.core.model import Prices
from tests.support.scripted_adapter import Action, Break
from tests.unit.router.builders import member, target
from tests.unit.router.in_memory_router import router

# 3 USD, 15 USD, 0.3 USD and 3.75 USD per million tokens.
PRICES = Prices("USD", 3_000_000, 15_000_000, 300_000, 3_750_000)
PLAIN = Usage(input_tokens=1_000, output_tokens=200)
CACHED = replace(PLAIN, cache_read_input_tokens=600, cache_write_input_tokens=100)


@pytest.mark.parametrize(
    ("usage", "prices", "cost"),
    [
        (PLAIN, PRICES, "0.006"),
        (CACHED, PRICES, "0.004455"),
        (CACHED, replace(PRICES, cache_read_micros=None), "0.006075"),
        (CACHED, replace(PRICES, cache_write_micros=None), "0.00438"),
        (PLAIN, replace(PRICES, cache_read_micros=None, cache_write_micros=None), "0.006"),
        (Usage(output_tokens=2_000_000), PRICES, "30"),
        (Usage(), PRICES, "0"),
        (PLAIN, Prices("EUR", 0, 0), "0"),
        (Usage(output_tokens=1), Prices("USD", 0, 1), "0.000000000001"),
        (PLAIN, replace(PRICES, input_micros=None), ""),
        (PLAIN, replace(PRICES, output_micros=None), ""),
        (Usage(input_tokens=5), replace(PRICES, output_micros=None), "0.000015"),
        (Usage(output_tokens=5), replace(PRICES, input_micros=None), "0.000075"),
        # More cached than there was input: nothing is left at the price of input.
        (Usage(input_tokens=10, cache_read_input_tokens=100), PRICES, "0.00003"),
    ],
)
def test_the_cost_follows_the_prices(usage: Usage, prices: Prices, cost: str) -> None:
    currency = prices.currency if cost else ""
    assert priced(usage, prices) == replace(usage, cost=cost, currency=currency)


@given(tokens=st.integers(0, 2**63 - 1), micros=st.integers(0, 10**18 - 1))
def test_the_cost_is_exact(tokens: int, micros: int) -> None:
    cost = priced(Usage(input_tokens=tokens), Prices("USD", micros)).cost

    assert cost == "0" or not cost.endswith("0") or "." not in cost
    whole, _, fraction = cost.partition(".")
    assert int(whole + fraction.ljust(12, "0")) == tokens * micros


def test_costs_are_added_in_one_currency() -> None:
    first = replace(PLAIN, cost="0.15", currency="USD")
    second = replace(PLAIN, cost="9.85", currency="USD")

    assert (first.plus(second).cost, first.plus(second).currency) == ("10", "USD")
    assert Decimal(first.plus(second).plus(second).cost) == Decimal("19.85")
    assert Usage().plus(first) == first.plus(Usage()) == first
    for other in (PLAIN, replace(second, currency="EUR")):
        assert (first.plus(other).cost, other.plus(first).currency) == ("", "")


async def test_a_call_says_what_each_attempt_cost() -> None:
    # given a first member that breaks off before its content, and its price unlike the second's
    cheap, dear = member("a", prices=Prices("USD", 1_000_000, 0)), member("b", prices=PRICES)
    broken: list[Action] = [
        [Opened(), UsageReport(PLAIN)],
        Break(Failure(FailureClass.RATE_LIMIT, 429)),
    ]
    whole: list[Action] = [
        [Opened(), TextDelta("a")],
        [UsageReport(CACHED), Finished(FinishReason.STOP)],
    ]
    async with router(target(cheap, replace(dear, failover_only=True))) as running:
        running.provider.will("a", broken)
        running.provider.will("b", whole)

        # when
        outcome = await running.ask()

    # then
    (reported,) = (item.usage for item in outcome.items if isinstance(item, UsageReport))
    assert reported == replace(CACHED, cost="0.004455", currency="USD")
    assert [attempt.usage for attempt in outcome.decision.attempts] == [
        replace(PLAIN, cost="0.001", currency="USD"),
        reported,
    ]
    assert isinstance(outcome.items[-1], Finished)
    assert outcome.items[-1].decision == outcome.decision


async def test_an_answer_that_breaks_off_says_what_it_cost() -> None:
    # given
    async with router(target(member("a", prices=PRICES))) as running:
        broken = Break(Failure(FailureClass.STREAM_TRUNCATED))
        running.provider.will("a", [[Opened(), TextDelta("a")], [UsageReport(PLAIN)], broken])

        # when
        outcome = await running.ask()

    # then
    last = outcome.items[-1]
    assert isinstance(last, Interrupted)
    assert last.partial_usage == replace(PLAIN, cost="0.006", currency="USD")
    assert last.decision.attempts[0].usage == last.partial_usage


async def test_without_prices_there_is_no_cost() -> None:
    async with router(target(member("a"))) as running:
        running.provider.will(
            "a", [[Opened(), TextDelta("a"), UsageReport(PLAIN), Finished(FinishReason.STOP)]]
        )
        outcome = await running.ask()

    assert outcome.decision.attempts[0].usage == PLAIN
