"""Input that no run has read is changed or taken back, by whoever names its current revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.content.model import Message
from services.runcontrol.core.cancelling import cancel
from services.runcontrol.core.errors import (
    AlreadyConsumedError,
    InputNotPendingError,
    StaleRevisionError,
)
from services.runcontrol.core.events import InputEdited, InputRetracted
from services.runcontrol.core.model import Input, InputState
from services.runcontrol.core.work import Work

NOTHING_TO_READ = "its input was taken back"


def check_pending(said: Input, revision: int) -> None:
    """Refuse input that cannot be changed any more, or not at this revision.

    Raises:
        AlreadyConsumedError: A run has read it.
        InputNotPendingError: It was taken back or dropped.
        StaleRevisionError: It was edited since.
    """
    if said.state is InputState.CONSUMED:
        raise AlreadyConsumedError.of(said.input_id, said.run_id, said.consumed_step)
    if said.state is not InputState.PENDING:
        raise InputNotPendingError.of(said.input_id, said.state)
    if said.revision != revision:
        raise StaleRevisionError.of(said.input_id, said.revision)


def edit(work: Work, said: Input, messages: Sequence[Message], by: str) -> tuple[Work, Input]:
    """Replace what the input says."""
    edited = replace(said, messages=messages, revision=said.revision + 1)
    work = _with_input(work, edited)
    return work.emit(InputEdited(edited.input_id, edited.revision, by)), edited


def retract(work: Work, said: Input, by: str) -> tuple[Work, Input]:
    """Take the input back; a run that has read nothing, and has nothing left to read, ends."""
    retracted = replace(said, state=InputState.RETRACTED)
    work = _with_input(work, retracted).emit(InputRetracted(retracted.input_id, by))
    unread = any(each.state is InputState.PENDING for each in work.inputs)
    if work.run.step == 0 and not unread:
        work, _ = cancel(work, NOTHING_TO_READ)
    return work, retracted


def _with_input(work: Work, changed: Input) -> Work:
    same = changed.input_id
    inputs = tuple(changed if each.input_id == same else each for each in work.inputs)
    return replace(work, inputs=inputs)
