"""Tools to and from the wire."""

from __future__ import annotations

from runyard.registry.v1 import registry_pb2 as pb
from services.chassis.protobuf.decoder import Decoder, duration_to_pb
from services.content.convert import (
    APPROVALS,
    EFFECT_CLASSES,
)
from services.content.model import Approval
from services.registry.api.enums import BUILTINS
from services.registry.core.executors import BuiltinTool, WorkerExecutor
from services.registry.core.model import Tool


def tool_from_pb(tool: pb.Tool, field: str, decoder: Decoder) -> Tool:
    effect, approval = tool.effect_class, tool.approval
    return Tool(
        id=tool.id,
        executor=_executor_from_pb(tool, field, decoder),
        description=tool.description,
        json_schema=tool.json_schema,
        effect_class=decoder.enum(EFFECT_CLASSES, effect, f"{field}.effect_class", None),
        approval=decoder.enum(APPROVALS, approval, f"{field}.approval", Approval.ALLOW),
        timeout=decoder.duration(tool, "timeout", field, None),
        approval_timeout=decoder.duration(tool, "approval_timeout", field, None),
    )


def _executor_from_pb(tool: pb.Tool, field: str, decoder: Decoder) -> BuiltinTool | WorkerExecutor:
    match tool.WhichOneof("executor"):
        case "builtin":
            return decoder.required_enum(BUILTINS, tool.builtin, f"{field}.builtin")
        case "worker":
            return WorkerExecutor(tool.worker.label)
        case _:
            decoder.wrong(field, "must set one of builtin and worker")
            return WorkerExecutor()


def tool_to_pb(tool: Tool) -> pb.Tool:
    executor = tool.executor
    return pb.Tool(
        id=tool.id,
        description=tool.description,
        json_schema=tool.json_schema,
        effect_class=EFFECT_CLASSES.to_pb[tool.effect_class] if tool.effect_class else None,
        approval=APPROVALS.to_pb[tool.approval],
        builtin=None if isinstance(executor, WorkerExecutor) else BUILTINS.to_pb[executor],
        worker=(
            pb.WorkerExecutor(label=executor.label)
            if isinstance(executor, WorkerExecutor)
            else None
        ),
        timeout=duration_to_pb(tool.timeout),
        approval_timeout=duration_to_pb(tool.approval_timeout),
    )
