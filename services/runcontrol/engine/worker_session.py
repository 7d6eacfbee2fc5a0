"""A worker that is connected: what it was given, and what it has room for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.chassis.caller import Caller
from services.runcontrol.core.exchange import Call
from services.runcontrol.core.ports import Wanted
from services.runcontrol.core.worker_calls import CallRef
from services.runcontrol.core.worker_messages import Hello, ServedTool, ToWorker


@dataclass(eq=False)
class Session:
    """A worker that is connected.

    Attributes:
        credit: How many more calls it may be given.
        held: The attempts it was given and has not reported, with their tools, by call id.
        probes: The lost attempts that it is asked about, by call id.
        told: Tools with digests of schemas whose calls it does not get, and knows of.
        out: What is to be sent; None ends the session, an error ends it with that.
    """

    caller: Caller
    hello: Hello
    epoch: int
    credit: int = 0
    stopped: bool = False
    held: dict[str, tuple[str, CallRef]] = field(default_factory=dict)
    probes: dict[str, CallRef] = field(default_factory=dict)
    told: set[tuple[str, str]] = field(default_factory=set)
    out: asyncio.Queue[ToWorker | BaseException | None] = field(default_factory=asyncio.Queue)

    @property
    def tenant(self) -> str:
        return self.caller.tenant

    @property
    def key(self) -> tuple[str, str]:
        return self.tenant, self.hello.worker.instance_id

    def wanted(self) -> Iterator[Wanted]:
        """The calls for which it has room."""
        for tool in self.hello.tools:
            for label in ("", *self.hello.labels):
                wanted = Wanted(tool.tool_id, label, tool.schema_digest)
                if self.has_room(wanted):
                    yield wanted

    def may_have(self, call: Call) -> bool:
        """Whether the call was made for a tool as it serves it."""
        served = self.served(call.tool_id, call.label)
        return served is not None and (
            not served.schema_digest or call.schema_digest in ("", served.schema_digest)
        )

    def served(self, tool_id: str, label: str) -> ServedTool | None:
        """The tool, if it takes part in calls that require the label."""
        if self.stopped or (label and label not in self.hello.labels):
            return None
        return next((tool for tool in self.hello.tools if tool.tool_id == tool_id), None)

    def has_room(self, wanted: Wanted) -> bool:
        """Whether it can be given one of these calls now."""
        served = self.served(wanted.tool_id, wanted.label)
        if served is None or served.schema_digest != wanted.schema_digest or self.credit <= 0:
            return False
        now = sum(held_tool == wanted.tool_id for held_tool, _ in self.held.values())
        return not served.max_parallel or now < served.max_parallel

    def refs(self) -> list[CallRef]:
        return [ref for _, ref in self.held.values()]

    def drop(self, ref: CallRef) -> bool:
        """Forget an attempt that is not the worker's any more; whether it was held until now."""
        _, held = self.held.get(ref.call_id, ("", None))
        if held != ref:
            return False
        del self.held[ref.call_id]
        return True
