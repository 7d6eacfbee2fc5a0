"""Answers about very many resources stay below 4 MiB and say what they leave out."""

from __future__ import annotations

import pytest

from tests.contract.registry.calls import CASCADE, Client
from tests.support.profiles import both_in_chaos
from tests.support.registry_resources import model, provider, tool

# What is cut is cut above the store, and ten thousand rows take their time.
pytestmark = both_in_chaos
LARGEST_BYTES = 4 << 20
LONG = "x" * 500


@pytest.mark.slow
async def test_the_answer_to_a_large_prune_lists_what_fits_and_counts_the_rest(
    registry: Client,
) -> None:
    # given a set of 9,000 tools whose names alone are more than 4 MiB
    await registry.apply(*(tool(f"{n:04}{LONG}") for n in range(4500)), apply_set="s")
    await registry.apply(*(tool(f"{n:04}{LONG}") for n in range(4500, 9000)), apply_set="s")

    # when all of them go
    request = {"apply_set": "s", "prune": True, "request_id": "r"}
    answer = await registry.applied(**request)

    # then the first ones are told, the rest is counted, and a repeat is told the same
    assert 3 << 20 < answer.ByteSize() <= LARGEST_BYTES
    assert answer.changes_omitted > 1000
    assert len(answer.changes) + answer.changes_omitted == 9000
    assert answer.changes[0].ref.id == f"0000{LONG}"
    assert await registry.applied(**request) == answer
    listed = await registry.list_resources()
    assert list(listed.resources) == []


@pytest.mark.slow
async def test_the_answer_to_a_large_removal_lists_what_fits_and_counts_the_rest(
    registry: Client,
) -> None:
    # given 2,500 models whose names are more than 1 MiB
    names = [f"{n:04}{LONG}" for n in range(2500)]
    await registry.apply(provider(), *map(model, names))

    # when
    preview = await registry.preview_removal()
    answer = await registry.remove_provider(CASCADE)

    # then
    told = list(preview.model_ids)
    assert 1000 < len(told) < 2500
    assert told == names[: len(told)]
    assert preview.model_count == answer.removed_model_count == 2500
    assert list(answer.removed_model_ids) == told
