"""``runyard generate`` and ``infer``: an answer, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path

from runyard.registry.v1 import registry_pb2 as reg
from tests.contract.cli.process import runyard
from tests.contract.router.router_under_test import (
    RouterUnderTest,
    breaking_pool,
    builtin,
    failing,
    limited_pool,
    model,
)


async def test_the_answer_and_where_it_came_from_are_shown_also_of_a_failure(
    tmp_path: Path,
) -> None:
    # given a pool whose home is limited, and a model whose provider is overloaded
    overloaded = builtin("busy", failing(reg.BUILTIN_FAULT_KIND_OVERLOADED))
    servers = RouterUnderTest(tmp_path)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(*limited_pool(), overloaded, model("m", "busy"))
        assert servers.router is not None
        at = {"RUNYARD_ENDPOINTS": f"router={servers.router.target}"}
        known = ("--min-version", str(servers.version))

        # when both are asked
        text = await runyard("generate", "narration", "hello harbour", *known, **at)
        data = await runyard("generate", "narration", "hello", "-o", "json", *known, **at)
        failed = await runyard("generate", "m", "hello", *known, **at)
    finally:
        await servers.stop_router()
        await servers.stop_registry()

    # then
    assert text.code == data.code == 0, text.err + data.err
    assert "hello harbour" in text.out
    assert "answered by second" in text.out
    answer = json.loads(data.out)
    assert answer["decision"]["member_id"] == "second"
    assert answer["finish_reason"] == "FINISH_REASON_STOP"
    assert failed.code == 3
    assert "UPSTREAM_OVERLOADED" in failed.err
    assert "try again in 1 s" in failed.err
    assert "nobody answered" in failed.out


async def test_an_answer_that_starts_over_says_what_to_disregard(tmp_path: Path) -> None:
    # given a pool whose home breaks off
    servers = RouterUnderTest(tmp_path)
    try:
        await servers.start_registry()
        await servers.start_router()
        await servers.apply(*breaking_pool("one two three"))
        assert servers.router is not None
        at = {"RUNYARD_ENDPOINTS": f"router={servers.router.target}"}
        known = ("--min-version", str(servers.version))

        # when
        shown = await runyard("infer", "narration", "all is well", *known, **at)
    finally:
        await servers.stop_router()
        await servers.stop_registry()

    # then
    assert shown.code == 0, shown.err
    assert shown.out.startswith(
        "one two\ndisregard the text above: cut-0 broke off (stream truncated), and whole starts "
        "the answer over\nall is well\n"
    )
