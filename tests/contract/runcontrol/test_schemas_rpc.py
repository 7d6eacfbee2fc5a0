"""Workers that were built for a certain schema, over real servers."""

from __future__ import annotations

import pytest

from runyard.registry.v1 import registry_pb2 as registry
from runyard.runcontrol.v1 import runcontrol_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from runyard.worker.v1 import worker_pb2 as worker
from runyard.worker.v1 import worker_service_pb2 as worker_service
from runyard.worker.v1.worker_service_pb2_grpc import ToolWorkerServiceStub
from services.runcontrol.core.schemas import schema_digest
from tests.contract.runcontrol.conftest import Suite
from tests.contract.runcontrol.test_workers_rpc import apply_clerk, worker_tool
from tests.support.engines import on_both_engines
from tests.support.raw_worker import hello, session
from tests.support.refusals import refused

ORDER = '{"type": "object", "properties": {"order": {"type": "integer"}}}'
OTHER = '{"type": "object", "properties": {"order": {"type": "string"}}}'


def lookup(schema: str = ORDER, timeout_s: float = 60.0) -> registry.Resource:
    found = worker_tool("lookup", content.EFFECT_CLASS_IDEMPOTENT, timeout_s=timeout_s)
    found.tool.json_schema = schema
    return found


def built_for(schema: str, instance: str = "i-1") -> worker.Hello:
    greeting = hello("lookup", instance=instance)
    greeting.tools[0].schema_digest = bytes.fromhex(schema_digest(schema))
    return greeting


@on_both_engines
async def test_a_call_waits_for_a_worker_of_its_schema(suite: Suite) -> None:
    # given a worker that was built for another schema
    await apply_clerk(suite, lookup())
    channel = suite.channel("runcontrol")
    async with session(channel, built_for(OTHER)) as wrong:
        # when its tool is called
        run_id = await suite.submit("clerk")
        mismatch = (await wrong.hear("schema_mismatch")).schema_mismatch
        _, event = await suite.until(run_id, "tool_call_withheld")
        (waiting,) = (await suite.view(run_id)).tool_calls

        # then it is told, the run says why it waits, and a worker of the schema gets the call
        async with session(channel, built_for(ORDER, "i-2")) as right:
            call = await right.take()
            await right.succeed(call.ref, "shipped")
            events = await suite.follow(run_id)
        await wrong.beat()
    (ended,) = (await suite.view(run_id)).tool_calls
    assert mismatch.tool_id == "lookup"
    assert mismatch.json_schema == ORDER
    assert mismatch.schema_digest.hex() == schema_digest(ORDER)
    assert mismatch.tool_version == call.tool_version
    assert event.tool_call_withheld.worker_id == "worker"
    assert event.tool_call_withheld.tool_version == call.tool_version
    assert (waiting.state, waiting.withheld_from_worker_id) == (
        pb.ToolInvocation.STATE_READY,
        "worker",
    )
    assert ended.withheld_from_worker_id == ""
    assert [each for each in wrong.said if each.HasField("call")] == []
    assert events[-1].run_finished.output_text == "it says shipped"


@pytest.mark.parametrize("digest", [schema_digest(ORDER), ""], ids=["the same", "none"])
async def test_a_worker_of_the_schema_or_of_any_gets_the_call(suite: Suite, digest: str) -> None:
    await apply_clerk(suite, lookup())
    greeting = hello("lookup")
    greeting.tools[0].schema_digest = bytes.fromhex(digest)
    async with session(suite.channel("runcontrol"), greeting) as clerk:
        run_id = await suite.submit("clerk")
        call = await clerk.take()
        await clerk.succeed(call.ref, "shipped")
        events = await suite.follow(run_id)
    assert [each for each in events if each.HasField("tool_call_withheld")] == []


async def test_every_start_of_a_worker_is_told(suite: Suite) -> None:
    # given a call that waits, and a worker that was told why
    await apply_clerk(suite, lookup())
    channel = suite.channel("runcontrol")
    async with session(channel, built_for(OTHER)) as wrong:
        await suite.submit("clerk")
        await wrong.hear("schema_mismatch")

    # when it starts again, then it is told again
    async with session(channel, built_for(OTHER, "i-2")) as again:
        await again.hear("schema_mismatch")


async def test_a_call_that_no_worker_of_its_schema_takes_fails_with_the_reason(
    suite: Suite,
) -> None:
    await apply_clerk(suite, lookup(timeout_s=3.0))
    async with session(suite.channel("runcontrol"), built_for(OTHER)) as wrong:
        run_id = await suite.submit("clerk")
        await wrong.hear("schema_mismatch")
        events = await suite.follow(run_id)
    assert events[-1].run_finished.output_text == (
        "it says no worker took the call within 3 s: worker serves lookup for another schema"
    )


async def test_a_digest_of_another_length_is_refused(suite: Suite) -> None:
    greeting = hello("lookup")
    greeting.tools[0].schema_digest = b"short"
    call = ToolWorkerServiceStub(suite.channel("runcontrol")).Session()
    await call.write(worker_service.SessionRequest(hello=greeting))
    error = await refused(call.read())
    assert error.reason == "INVALID_REQUEST"
