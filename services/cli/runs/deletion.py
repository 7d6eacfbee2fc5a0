"""``runyard delete thread``: a conversation, with all that its runs have left."""

from __future__ import annotations

from collections.abc import Sequence

from runyard.runcontrol.v1 import runcontrol_service_pb2 as service_pb
from services.cli.base.messages import as_json
from services.cli.base.terminal import Terminal
from services.cli.talk.clients import Clients
from services.cli.talk.command import new_request_id


def ids_of(kind: str | None, ids: Sequence[str], *names: str) -> list[str]:
    """The ids of ``thread ID`` and ``thread/ID``, if ``kind`` is one of ``names``."""
    name, slash, id_ = (kind or "").partition("/")
    return [*([id_] if slash else ()), *ids] if name in names else []


async def delete_threads(stubs: Clients, ids: Sequence[str], terminal: Terminal) -> None:
    """Delete one after the other; the first that cannot be is an error."""
    for thread_id in ids:
        request = service_pb.DeleteThreadRequest(thread_id=thread_id, request_id=new_request_id())
        answer = await stubs.call("runcontrol", stubs.runcontrol.DeleteThread, request)
        count = answer.cancelled_count
        stopped = f"; {count} run{'s' if count != 1 else ''} cancelled" if count else ""
        terminal.line("  ", (f"- thread/{thread_id}", "red"), f" deleted{stopped}")
        terminal.data({"deleted": f"thread/{thread_id}", **as_json(answer)})
