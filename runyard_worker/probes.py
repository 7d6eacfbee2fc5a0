"""What a tool's probe says of a lost call."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Executor

from runyard.worker.v1 import worker_pb2 as pb
from runyard_worker.tools import Context, DidNotHappen, Happened, Tool, result_text

log = logging.getLogger("runyard_worker")


class _Silent:
    """Implements ``tools.Reporter`` for what is no call: there is nobody to tell."""

    cancelled = False

    def progress(self, note: str) -> None:
        pass


async def found_out(tool: Tool | None, probe: pb.Probe, threads: Executor) -> pb.ProbeResult:
    """Ask the tool's probe; what fails, or is no answer, says that nothing is known."""
    not_known = pb.ProbeResult(ref=probe.ref, effect=pb.EFFECT_UNKNOWN)
    if tool is None or tool.probe is None:
        return not_known
    try:
        bound = tool.probe.bound(probe.arguments_json, _context(probe))
        if tool.probe.is_async:
            answer = await bound()
        else:
            answer = await asyncio.get_running_loop().run_in_executor(threads, bound)
        if isinstance(answer, Happened):
            content = result_text(answer.result)
            return pb.ProbeResult(ref=probe.ref, effect=pb.EFFECT_DONE, content=content)
        if isinstance(answer, DidNotHappen):
            return pb.ProbeResult(ref=probe.ref, effect=pb.EFFECT_NONE)
    except Exception:
        log.exception("the probe of %s failed", probe.tool_id)
    return not_known


def _context(probe: pb.Probe) -> Context:
    return Context(
        call_id=probe.ref.tool_call_id,
        attempt=probe.ref.attempt,
        idempotency_key=probe.idempotency_key,
        run_id=probe.run_id,
        thread_id=probe.thread_id,
        agent_id=probe.agent_id,
        principal=probe.principal,
        deadline=None,
        traceparent=probe.traceparent,
        _reporter=_Silent(),
    )
