"""The work that the store benchmark measures: one run through a durable mailbox.

28 statements in 3 transactions, each of them what a service has to read or write for the step.
What a transaction decides on it reads itself, beginning with the thread, whose row is the lock:

submit       1 select   the answered request of this key (none)
             2 select   the thread
             3 insert   the run
             4 insert   the input message (300 bytes)
             5 insert   the dispatch
           6-7 insert   two log events (200 bytes each)
             8 update   the thread: sequences, head of the queue
             9 insert   the answered request
claim       10 select   the thread
            11 select   the head dispatch of the thread
            12 select   its run, which may have been cancelled
            13 select   the input to work on
            14 update   the dispatch: claimed, one more attempt
            15 insert   the lease
            16 update   the run: running
            17 insert   a log event
            18 update   the thread: fence, active dispatch, sequence
acknowledge 19 select   the thread
            20 select   the lease, whose fence decides
            21 select   the run, which may have been cancelled
            22 update   the dispatch: done
            23 update   the run: finished
         24-25 insert   two log events
            26 delete   the lease
            27 update   the thread
            28 insert   a command for another service (300 bytes)

A transaction is a generator that yields statements and is sent their rows, so that both arms of
the benchmark execute the very same work.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Column, Index, MetaData, Table, bindparam, select

from services.chassis.ids import IdSource
from services.chassis.store.columns import Integer, LargeBinary, Text
from services.chassis.store.statement import Statement, statement

METADATA = MetaData()
STATEMENTS_PER_CYCLE = 28

_INPUT = b"m" * 300
_EVENT = b"e" * 200
_COMMAND = b"c" * 300
_QUEUED, _CLAIMED, _DONE = 0, 1, 2


def _table(name: str, *columns: Column[Any], with_rowid: bool = False) -> Table:
    """Rows that carry bytes keep the rowid: they go to the end of the table, side by side."""
    options = {"sqlite_strict": True, "sqlite_with_rowid": with_rowid}
    return Table(name, METADATA, *columns, **options)


def _key(name: str, *constraints: Any) -> Column[str]:
    return Column(name, Text, *constraints, primary_key=True)


def _int(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


_thread = _table(
    "thread",
    _key("tenant"),
    _key("id"),
    *map(_int, ("fence", "event_seq", "input_seq", "head_seq")),
    Column("active_dispatch", Text),
)
_run = _table("run", _key("tenant"), _key("id"), Column("thread", Text), _int("state"))
_input, _event = (
    _table(
        name, _key("tenant"), _key("thread"), Column("seq", Integer, primary_key=True),
        Column("body", LargeBinary, nullable=False),
        with_rowid=True,
    )
    for name in ("input", "event")
)  # fmt: skip
_dispatch = _table(
    "dispatch", _key("tenant"), _key("id"), Column("thread", Text), Column("run", Text),
    *map(_int, ("seq", "state", "attempt")),
)  # fmt: skip
_lease = _table(
    "lease", _key("tenant"), _key("thread"), Column("dispatch", Text), *map(_int, ("fence",)),
)  # fmt: skip
_request = _table(
    "request", _key("tenant"), _key("method"), _key("key"),
    Column("digest", LargeBinary), Column("body", LargeBinary),
)  # fmt: skip
_outbox = _table(
    "outbox", _key("lane"), _key("id"), Column("payload", LargeBinary), *map(_int, ("due_us",)),
    with_rowid=True,
)  # fmt: skip
_queue = (_dispatch.c.tenant, _dispatch.c.thread, _dispatch.c.seq)
Index("dispatch_queue", *_queue, sqlite_where=_dispatch.c.state == 0)
Index("outbox_due", _outbox.c.due_us)


def _of(table: Table, *names: str) -> list[Any]:
    return [table.c[name] == bindparam(f"k_{name}") for name in names]


def _set(table: Table, keys: tuple[str, ...], *names: str) -> Statement:
    values = {name: bindparam(f"v_{name}") for name in names}
    return statement(table.update().where(*_of(table, *keys)).values(values))


ADD_THREAD = statement(_thread.insert())
_FIND_REQUEST = statement(
    select(_request.c.digest, _request.c.body).where(*_of(_request, "tenant", "method", "key"))
)
_ADD_REQUEST = statement(_request.insert())
_FIND_THREAD = statement(select(_thread).where(*_of(_thread, "tenant", "id")).with_for_update())
_SAVE_THREAD = _set(
    _thread, ("tenant", "id"), "fence", "event_seq", "input_seq", "head_seq", "active_dispatch"
)
_ADD_RUN = statement(_run.insert())
_FIND_RUN = statement(select(_run).where(*_of(_run, "tenant", "id")))
_SAVE_RUN = _set(_run, ("tenant", "id"), "state")
_ADD_INPUT = statement(_input.insert())
_FIND_INPUT = statement(select(_input).where(*_of(_input, "tenant", "thread", "seq")))
_ADD_DISPATCH = statement(_dispatch.insert())
_HEAD = statement(
    select(_dispatch)
    .where(*_of(_dispatch, "tenant", "thread"), _dispatch.c.state == _QUEUED)
    .order_by(_dispatch.c.seq)
    .limit(1)
)
_SAVE_DISPATCH = _set(_dispatch, ("tenant", "id"), "state", "attempt")
_ADD_EVENT = statement(_event.insert())
_ADD_LEASE = statement(_lease.insert())
_FIND_LEASE = statement(select(_lease).where(*_of(_lease, "tenant", "thread")))
_DROP_LEASE = statement(_lease.delete().where(*_of(_lease, "tenant", "thread")))
_ADD_COMMAND = statement(_outbox.insert())

Step: TypeAlias = tuple[Statement, dict[str, Any]]
Transaction: TypeAlias = Generator[Step, Any, None]


@dataclass(slots=True)
class Mailbox:
    """One thread of one tenant, and the id of its run, made as the server makes ids: UUIDv7."""

    thread: str
    ids: IdSource
    tenant: str = "default"
    id: str = ""
    cycle: int = 0

    def transactions(self) -> tuple[Callable[[], Transaction], ...]:
        """The three of the next cycle."""
        self.id = self.ids.new_id()
        self.cycle += 1
        return (self.submit, self.claim, self.acknowledge)

    def new_thread(self) -> dict[str, Any]:
        zeros = dict.fromkeys(("fence", "event_seq", "input_seq", "head_seq"), 0)
        return {"tenant": self.tenant, "id": self.thread, "active_dispatch": None, **zeros}

    def submit(self) -> Transaction:
        own = {"tenant": self.tenant}
        method = "/runyard.runcontrol.v1.RunControlService/SubmitRun"
        key = {"k_tenant": self.tenant, "k_method": method, "k_key": self.id}
        if (yield _FIND_REQUEST, key) is not None:
            raise AssertionError("a request id was used twice")
        thread = yield from self._thread()
        run = {"id": self.id, "thread": self.thread}
        yield _ADD_RUN, {**own, **run, "state": _QUEUED}
        seq = thread.input_seq + 1
        yield _ADD_INPUT, {**own, "thread": self.thread, "seq": seq, "body": _INPUT}
        queued = {"run": self.id, "seq": seq, "state": _QUEUED, "attempt": 0}
        yield _ADD_DISPATCH, {**own, **run, **queued}
        yield from self._events(thread.event_seq, 2)
        changed = {"event_seq": thread.event_seq + 2, "input_seq": seq, "head_seq": seq}
        yield from self._save(thread, **changed)
        answer = {"digest": b"d" * 33, "body": b"r" * 80}
        yield _ADD_REQUEST, {**own, "method": method, "key": self.id, **answer}

    def claim(self) -> Transaction:
        own = {"k_tenant": self.tenant, "k_thread": self.thread}
        thread = yield from self._thread()
        head = yield _HEAD, own
        run = yield from self._open_run(head.run)
        if not (yield _FIND_INPUT, {**own, "k_seq": head.seq}).body:
            raise AssertionError("there is nothing to work on")
        claimed = {"v_state": _CLAIMED, "v_attempt": head.attempt + 1}
        yield _SAVE_DISPATCH, {"k_tenant": self.tenant, "k_id": head.id, **claimed}
        fence = thread.fence + 1
        lease = {"tenant": self.tenant, "thread": self.thread, "dispatch": head.id}
        yield _ADD_LEASE, {**lease, "fence": fence}
        yield _SAVE_RUN, {"k_tenant": self.tenant, "k_id": run.id, "v_state": _CLAIMED}
        yield from self._events(thread.event_seq, 1)
        changed = {"fence": fence, "event_seq": thread.event_seq + 1, "active_dispatch": head.id}
        yield from self._save(thread, **changed)

    def acknowledge(self) -> Transaction:
        held = {"k_tenant": self.tenant, "k_thread": self.thread}
        thread = yield from self._thread()
        lease = yield _FIND_LEASE, held
        if lease.fence != thread.fence:
            raise AssertionError("another owner has the thread")
        run = yield from self._open_run(self.id)
        done = {"k_tenant": self.tenant, "v_state": _DONE}
        yield _SAVE_DISPATCH, {**done, "k_id": lease.dispatch, "v_attempt": 1}
        yield _SAVE_RUN, {**done, "k_id": run.id}
        yield from self._events(thread.event_seq, 2)
        yield _DROP_LEASE, held
        event_seq = thread.event_seq + 2
        yield from self._save(thread, event_seq=event_seq, head_seq=0, active_dispatch=None)
        command = {"lane": self.thread, "id": self.id, "payload": _COMMAND, "due_us": self.cycle}
        yield _ADD_COMMAND, command

    def _open_run(self, id_: str) -> Generator[Step, Any, Any]:
        run = yield _FIND_RUN, {"k_tenant": self.tenant, "k_id": id_}
        if run.state == _DONE:
            raise AssertionError("the run is over")
        return run

    def _thread(self) -> Generator[Step, Any, Any]:
        found = yield _FIND_THREAD, {"k_tenant": self.tenant, "k_id": self.thread}
        return found

    def _events(self, last_seq: int, count: int) -> Transaction:
        for seq in range(last_seq + 1, last_seq + count + 1):
            event = {"tenant": self.tenant, "thread": self.thread, "seq": seq, "body": _EVENT}
            yield _ADD_EVENT, event

    def _save(self, thread: Any, **changed: Any) -> Transaction:
        row = {**thread._asdict(), **changed}
        key = {"k_tenant": row.pop("tenant"), "k_id": row.pop("id")}
        yield _SAVE_THREAD, {**key, **{f"v_{name}": value for name, value in row.items()}}
