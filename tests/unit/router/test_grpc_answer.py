"""Whatever a provider over gRPC sends becomes an answer in order, or one failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runyard.provider.v1 import provider_pb2 as pb
from runyard.types.v1 import content_pb2 as content
from services.router.clients.grpc_answer import GrpcReader
from services.router.core.failures import FailureClass, UpstreamError
from services.router.core.items import (
    Finished,
    Opened,
    ToolCallDelta,
    ToolCallReady,
    UpstreamItem,
    UsageReport,
)
from tests.support.grpc_upstream import delta, message, ready

IDS = st.sampled_from(["", "c1", "c2"])
TOOLS = st.sampled_from(["", "look", "see"])
ARGUMENTS = st.sampled_from(["", "{}", '{"a":', "1}", "[]"])
INDEXES = st.integers(0, 2)
COUNTS = st.sampled_from([-(2**63), -1, 0, 7, 2**63 - 1])
ITEMS = st.one_of(
    st.just(pb.InferenceItem()),
    st.builds(pb.InferenceItem, started=st.builds(pb.Started, response_id=IDS)),
    st.builds(
        pb.InferenceItem, text_delta=st.builds(pb.TextDelta, text=st.sampled_from(["", "a"]))
    ),
    st.builds(
        pb.InferenceItem,
        reasoning_delta=st.builds(
            pb.ReasoningDelta, text=IDS, provider_id=IDS, opaque_state=st.binary(max_size=2)
        ),
    ),
    st.builds(delta, INDEXES, ARGUMENTS, IDS, TOOLS),
    st.builds(ready, INDEXES, ARGUMENTS, IDS, TOOLS),
    st.builds(
        pb.InferenceItem,
        usage=st.builds(content.Usage, input_tokens=COUNTS, output_tokens=COUNTS),
    ),
    st.builds(pb.InferenceItem, finished=st.builds(pb.Finished, reason=st.integers(0, 5))),
)
MESSAGES = st.lists(
    st.lists(ITEMS, max_size=4).map(lambda items: message(*items).SerializeToString())
    | st.binary(max_size=8),
    max_size=6,
)


@given(MESSAGES)
def test_an_answer_keeps_its_order(messages: list[bytes]) -> None:
    # given
    reader = GrpcReader("own", {"c1"}, input_chars=40)
    items: list[UpstreamItem] = []
    kind = FailureClass.STREAM_MALFORMED

    # when
    try:
        for each in messages:
            items.extend(reader.take(each))
    except UpstreamError as error:
        kind = error.failure.kind

    # then it opens first and finishes last, with counts that can be
    assert kind is FailureClass.STREAM_MALFORMED
    assert not items or isinstance(items[0], Opened)
    assert all(not isinstance(item, Finished) for item in items[:-1])
    counts = [item.usage for item in items if isinstance(item, UsageReport)]
    assert all(usage.input_tokens >= 0 and usage.output_tokens >= 0 for usage in counts)
    # and every call that is ready is what its deltas told
    told = {item.index: item for item in items if isinstance(item, ToolCallDelta) and item.tool_id}
    whole = [item for item in items if isinstance(item, ToolCallReady)]
    for item in whole:
        parts = [d for d in items if isinstance(d, ToolCallDelta) and d.index == item.index]
        assert item.call.arguments_json == ("".join(d.arguments_json for d in parts) or "{}")
        assert (told[item.index].call_id, told[item.index].tool_id) == (
            item.call.call_id,
            item.call.tool_id,
        )
    assert len({item.call.call_id for item in whole}) == len(whole)
