"""What executes a tool."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class BuiltinTool(Enum):
    """Run by run control, which brings its schema, description and effect class."""

    POOL_JOIN = "pool_join"
    POOL_SEND = "pool_send"
    POOL_CHECK = "pool_check"
    POOL_RESPOND = "pool_respond"
    POOL_WAIT = "pool_wait"
    ASK_HUMAN = "ask_human"
    START_RUN = "start_run"

    @property
    def tag(self) -> str:
        return "builtin"


@dataclass(frozen=True, slots=True)
class WorkerExecutor:
    """A worker runs it; an empty label fits any worker that serves the tool."""

    tag: ClassVar[str] = "worker"
    label: str = ""
