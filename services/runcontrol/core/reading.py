"""The use cases of callers that only read threads, runs and messages."""

from __future__ import annotations

from services.chassis.caller import Caller
from services.runcontrol.core.errors import (
    CallNotFoundError,
    RunNotFoundError,
)
from services.runcontrol.core.listing import (
    CallQuery,
    MessageQuery,
    Page,
    Place,
    RunQuery,
    ThreadQuery,
    ThreadView,
    page_of_messages,
    page_of_runs,
    page_of_threads,
)
from services.runcontrol.core.model import Run, StoredMessage
from services.runcontrol.core.ports import CallView, Feed, Reads, RunView, Store
from services.runcontrol.core.work import missing_run, missing_thread


class Reading:
    """Reads within the caller's tenant, each on one snapshot."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def thread(self, caller: Caller, thread_id: str) -> ThreadView:
        """Raises:
        ThreadNotFoundError: There is no such thread.
            ThreadDeletedError: It was deleted.
        """
        return await self._store.read(lambda reads: _thread(reads, caller.tenant, thread_id))

    async def active(self, caller: Caller, thread_id: str) -> tuple[ThreadView, RunView | None]:
        """A thread with its running run, else its open waiting one, else None.

        Raises:
            ThreadNotFoundError: There is no such thread.
            ThreadDeletedError: It was deleted.
        """

        def read(reads: Reads) -> tuple[ThreadView, RunView | None]:
            found = _thread(reads, caller.tenant, thread_id)
            run_id = found.thread.active_run_id or found.thread.open_run_id
            return found, reads.view(caller.tenant, run_id) if run_id else None

        return await self._store.read(read)

    async def events(self, caller: Caller, thread_id: str, after: int, limit: int) -> Feed:
        """Up to ``limit`` encoded events of a thread, those after the sequence ``after``.

        Raises:
            ThreadNotFoundError: There is no such thread.
            ThreadDeletedError: It was deleted.
        """

        def read(reads: Reads) -> Feed:
            feed = reads.thread_events(caller.tenant, thread_id, after, limit)
            if feed is None:
                raise missing_thread(reads, caller.tenant, thread_id)
            return feed

        return await self._store.read(read)

    async def call(self, caller: Caller, query: CallQuery) -> CallView:
        """A call with a part of its arguments and of its result.

        Raises:
            RunNotFoundError: There is no such run.
            RunDeletedError: Its thread was deleted.
            CallNotFoundError: The run has no such call.
        """

        def read(reads: Reads) -> CallView:
            if reads.deleted_thread_of(caller.tenant, query.run_id) is not None:
                raise missing_run(reads, caller.tenant, query.run_id)
            found = reads.call_view(
                caller.tenant,
                query.run_id,
                query.call_id,
                query.arguments_from,
                query.result_from,
            )
            if found is not None:
                return found
            if reads.view(caller.tenant, query.run_id) is None:
                raise missing_run(reads, caller.tenant, query.run_id)
            raise CallNotFoundError.of(query.call_id)

        return await self._store.read(read)

    async def runs(self, caller: Caller, query: RunQuery) -> Page[Run, Place]:
        """A page of runs, newest first."""
        return await self._store.read(lambda reads: page_of_runs(reads, caller.tenant, query))

    async def threads(self, caller: Caller, query: ThreadQuery) -> Page[ThreadView, Place]:
        """A page of threads, most recently used first."""
        return await self._store.read(lambda reads: page_of_threads(reads, caller.tenant, query))

    async def messages(self, caller: Caller, query: MessageQuery) -> Page[StoredMessage, int]:
        """A page of a thread's messages, oldest first.

        Raises:
            ThreadNotFoundError: There is no such thread.
            ThreadDeletedError: It was deleted.
            RunNotFoundError: There is no such run on it.
        """

        def read(reads: Reads) -> Page[StoredMessage, int]:
            _thread(reads, caller.tenant, query.thread_id)
            run = reads.view(caller.tenant, query.run_id) if query.run_id else None
            if query.run_id and (run is None or run.run.thread_id != query.thread_id):
                raise RunNotFoundError.of(query.run_id)
            return page_of_messages(reads, caller.tenant, query)

        return await self._store.read(read)


def _thread(reads: Reads, tenant: str, thread_id: str) -> ThreadView:
    found = reads.thread_view(tenant, thread_id)
    if found is None or found.thread.deleted_at is not None:
        raise missing_thread(reads, tenant, thread_id)
    return found
