"""The records of threads that this server executes, kept so that a step reads only what is new."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import astuple

from services.content.model import Message
from services.runcontrol.core.execution import Claim, Execution
from services.runcontrol.core.model import StoredMessage

# What is kept, roughly, counted in characters of texts and bytes of images.
MAX_KEPT = 64 << 20
# Of a message without content.
_MESSAGE_SIZE = 500


class Transcripts:
    """The records that were read last; a record only grows, so what is kept stays right."""

    def __init__(self, execution: Execution, max_kept: int = MAX_KEPT) -> None:
        self._execution = execution
        self._max_kept = max_kept
        self._kept: OrderedDict[tuple[str, str], tuple[list[StoredMessage], int]] = OrderedDict()
        self._size = 0

    async def read(self, claimed: Claim) -> Sequence[StoredMessage]:
        """Every message of the run's thread, oldest first."""
        key = (claimed.run.tenant, claimed.run.thread_id)
        known, _ = self._kept.get(key, ([], 0))
        newest = known[-1].seq if known else 0
        record = [*known, *await self._execution.conversation(claimed, newest)]
        self._keep(key, record)
        return record

    def _keep(self, key: tuple[str, str], record: list[StoredMessage]) -> None:
        known, size = self._kept.pop(key, ([], 0))
        self._size -= size
        size += sum(_size_of(each.message) for each in record[len(known) :])
        self._kept[key] = record, size
        self._size += size
        while self._size > self._max_kept:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._size -= dropped


def _size_of(message: Message) -> int:
    values = (value for part in message.parts for value in astuple(part))
    return _MESSAGE_SIZE + sum(len(v) for v in values if isinstance(v, str | bytes))
