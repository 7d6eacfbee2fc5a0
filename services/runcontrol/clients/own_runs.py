"""Delivers the commands of runs about other runs to run control itself, in this process."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from services.chassis.caller import Caller, Principal, Role
from services.chassis.errors import DomainError, ErrorKind
from services.chassis.outbox.rows import OutboxRow
from services.chassis.outbox.sender import RefusedError
from services.content.model import Message, Text
from services.content.model import Role as MessageRole
from services.runcontrol.core.commands import (
    CancelRunCommand,
    Command,
    CommandResult,
    RunEndedCommand,
    StartRunCommand,
    decode_command,
    encode_answer,
)
from services.runcontrol.core.model import PoolMembership
from services.runcontrol.core.runcontrol import CancelCommand, RunControl
from services.runcontrol.core.submission import StartedBy, SubmitCommand

# A repeat would be refused too; after any other error the command is tried again.
_FINAL = frozenset(
    {
        *(ErrorKind.INVALID, ErrorKind.NOT_FOUND, ErrorKind.PRECONDITION, ErrorKind.CONFLICT),
        *(ErrorKind.STALE, ErrorKind.DENIED, ErrorKind.OUT_OF_RANGE, ErrorKind.UNIMPLEMENTED),
    }
)


class OwnRuns:
    """Starts and cancels runs on behalf of runs."""

    def __init__(self, runs: RunControl) -> None:
        self._runs = runs

    def deliveries(self) -> Mapping[str, Callable[[OutboxRow], Awaitable[bytes]]]:
        """The functions of the outbox sender, by kind of row."""
        kinds = (StartRunCommand.kind, CancelRunCommand.kind, RunEndedCommand.kind)
        return dict.fromkeys(kinds, self._deliver)

    async def _deliver(self, row: OutboxRow) -> bytes:
        command = decode_command(row.kind, row.payload)
        try:
            return encode_answer(await self._carry_out(command, _caller(command, row)))
        except DomainError as error:
            if error.kind not in _FINAL:
                raise
            raise RefusedError(error.reason, error.message) from error

    async def _carry_out(self, command: Command, caller: Caller) -> CommandResult:
        if isinstance(command, StartRunCommand):
            return await self._start(command, caller)
        if isinstance(command, CancelRunCommand):
            cancel = CancelCommand(command.child_run_id, reason=command.reason)
            await self._runs.cancel(caller, cancel)
        # The end of a run is applied as it is, with its answer in it.
        return CommandResult("")

    async def _start(self, command: StartRunCommand, caller: Caller) -> CommandResult:
        submit = SubmitCommand(
            messages=(Message(MessageRole.USER, (Text(command.input),)),),
            agent_id=command.agent_id,
            pool=PoolMembership(command.pool_id) if command.pool_id else None,
            deadline_s=command.deadline_s,
        )
        by = StartedBy(
            child_run_id=command.child_run_id,
            run_id=command.run_id,
            call_id=command.call_id if command.wait else "",
            depth=command.depth,
        )
        thread_id = await self._runs.start_child(caller, submit, by)
        return CommandResult(json.dumps({"run_id": by.child_run_id, "thread_id": thread_id}))


def _caller(command: Command, row: OutboxRow) -> Caller:
    principal = Principal(command.tenant, frozenset({Role.AGENT}), command.principal)
    return Caller(principal, traceparent=row.traceparent)
