"""What a worker's tools say of lost calls."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runyard.worker.v1 import worker_pb2 as pb
from runyard_worker import Context, DidNotHappen, Happened, NotKnown, Worker
from runyard_worker.probes import found_out
from runyard_worker.tools import tool_of

REF = pb.CallRef(tool_call_id="c", attempt=2, fence=7)
PROBE = pb.Probe(
    ref=REF,
    idempotency_key="key",
    tool_id="refund",
    arguments_json='{"order": 4711, "reason": "late"}',
    principal="ada",
)


def refund(order: int, reason: str) -> str:
    return f"{order} {reason}"


def _happened(order: int) -> Happened:
    return Happened({"order": order})


async def _happened_later(context: Context, reason: str) -> Happened:
    context.progress("nobody hears it")
    return Happened(f"{context.idempotency_key} {context.attempt} {context.principal} {reason}")


def _did_not_happen() -> DidNotHappen:
    return DidNotHappen()


def _does_not_know() -> NotKnown:
    return NotKnown()


def _fails() -> Happened:
    raise ConnectionError("a secret")


def _answers_nothing() -> Any:
    return True


@pytest.mark.parametrize(
    ("probe", "effect", "text"),
    [
        (_happened, pb.EFFECT_DONE, '{"order":4711}'),
        (_happened_later, pb.EFFECT_DONE, "key 2 ada late"),
        (_did_not_happen, pb.EFFECT_NONE, ""),
        (_does_not_know, pb.EFFECT_UNKNOWN, ""),
        (_fails, pb.EFFECT_UNKNOWN, ""),
        (_answers_nothing, pb.EFFECT_UNKNOWN, ""),
        (None, pb.EFFECT_UNKNOWN, ""),
    ],
)
async def test_a_probe_answers_for_its_tool(
    probe: Callable[..., Any] | None, effect: pb.Effect.ValueType, text: str
) -> None:
    tool = tool_of(refund, effect="reconcilable", probe=probe)
    with ThreadPoolExecutor(1) as threads:
        found = await found_out(tool, PROBE, threads)
    assert found == pb.ProbeResult(ref=REF, effect=effect, content=text)


async def test_what_does_not_fit_the_probe_is_not_known() -> None:
    tool = tool_of(refund, effect="reconcilable", probe=_happened)
    asked = pb.Probe(ref=REF, tool_id="refund", arguments_json='{"order": "many"}')
    with ThreadPoolExecutor(1) as threads:
        assert (await found_out(tool, asked, threads)).effect == pb.EFFECT_UNKNOWN
        assert (await found_out(None, asked, threads)).effect == pb.EFFECT_UNKNOWN


def test_only_a_reconcilable_tool_has_a_probe() -> None:
    with pytest.raises(TypeError, match="only a reconcilable tool"):
        Worker("desk").tool(effect="at_most_once", probe=_happened)(refund)


def test_a_probe_takes_what_its_tool_takes() -> None:
    def probe(colour: str) -> NotKnown:
        return NotKnown()

    with pytest.raises(TypeError, match="its tool does not take colour"):
        Worker("desk").tool(effect="reconcilable", probe=probe)(refund)
