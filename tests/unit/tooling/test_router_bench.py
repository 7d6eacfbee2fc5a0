"""What the benchmark of the router asks of each arm is the same call, and no toy."""

from __future__ import annotations

import json

from tests.bench.bench_router import decision_us
from tests.bench.router_load import SYSTEM_PROMPT, chat_body, infer_request


def test_every_arm_gets_the_same_call() -> None:
    asked, posted = infer_request("fast"), json.loads(chat_body("fast"))

    assert len(SYSTEM_PROMPT) >= 4096
    assert (asked.target_id, posted["model"]) == ("fast", "fast")
    texts = [message.parts[0].text.text for message in asked.messages]
    assert [message["content"] for message in posted["messages"]] == texts
    assert texts[0] == SYSTEM_PROMPT
    tools = [tool.tool_id for tool in asked.tools]
    assert [tool["function"]["name"] for tool in posted["tools"]] == tools
    assert len(tools) == 6


async def test_a_decision_can_be_measured() -> None:
    assert await decision_us(members=4) > 0
