"""The store on SQLite: a writer thread, reader threads, and one connection for lists."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite
from sqlalchemy import MetaData, text

from services.chassis.follow.notifier import Notifier
from services.chassis.store.availability import Availability, watching
from services.chassis.store.errors import DatabaseLostError
from services.chassis.store.port import Row, Store, StoreInfo, Tx
from services.chassis.store.sqlite.database_files import DatabaseFiles
from services.chassis.store.sqlite.files import (
    READER_PRAGMAS,
    file_uri,
    open_reader,
    open_writer,
)
from services.chassis.store.sqlite.migrating import migrate_owned
from services.chassis.store.sqlite.ownership import OwnedFile, owned
from services.chassis.store.sqlite.readers import SqliteReaders
from services.chassis.store.sqlite.refusing import refusing_unusable
from services.chassis.store.sqlite.tx import translated
from services.chassis.store.sqlite.writer import BatchLimits, SqliteWriter
from services.chassis.store.statement import Statement, statement

T = TypeVar("T")

# Readers keep a log for 2 s at most.
_SCRUBS = 50
_SCRUB_PAUSE_S = 0.05

_USER_VERSION = statement(text("PRAGMA user_version"))


@dataclass(frozen=True, slots=True)
class SqliteTuning:
    """Limits that tests and benchmarks vary.

    Attributes:
        read_limit_s: Longest time for which a ``read`` closure may hold its snapshot.
    """

    batch: BatchLimits = field(default_factory=BatchLimits)
    readers: int = 2
    read_limit_s: float = 2.0


class SqliteStore:
    """Implements ``port.Store``."""

    def __init__(
        self,
        writer: SqliteWriter,
        readers: SqliteReaders,
        lists: aiosqlite.Connection,
        availability: Availability,
    ) -> None:
        self._availability = availability
        self._writer = writer
        self._readers = readers
        self._lists = lists

    @property
    def info(self) -> StoreInfo:
        return StoreInfo(engine="sqlite", version=sqlite3.sqlite_version, durability="full")

    @property
    def sole_owner(self) -> bool:
        return True

    @property
    def unavailable_cause(self) -> str:
        return self._availability.cause

    @property
    def instance(self) -> str:
        return ""

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.submit(fn)

    async def write_first(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.submit(fn, first=True)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._readers.submit(fn)

    async def scrub(self) -> bool:
        for _ in range(_SCRUBS):
            if await self._writer.truncate_log():
                return True
            await asyncio.sleep(_SCRUB_PAUSE_S)
        return False

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        compiled = statement.sqlite
        try:
            rows = await self._lists.execute_fetchall(compiled.text, compiled.bind(params))
        except sqlite3.Error as error:
            refusal = translated(error)
            self._availability.note_read(refusal)
            raise refusal from error
        return [compiled.row(row) for row in rows]


@asynccontextmanager
async def open_sqlite(
    path: Path,
    *,
    metadata: MetaData,
    migrations: Path,
    notifier: Notifier,
    tuning: SqliteTuning,
) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        file = stack.enter_context(owned(path))
        await asyncio.to_thread(migrate_owned, file.path, metadata, migrations)
        with refusing_unusable(file.path):
            store = await _running(file, notifier, tuning, stack)
        yield store


async def _running(
    file: OwnedFile, notifier: Notifier, tuning: SqliteTuning, stack: AsyncExitStack
) -> SqliteStore:
    """Start the threads; ``stack`` ends them in reverse order and closes the writer last.

    The last connection to close checkpoints and removes the WAL; only the writer may checkpoint.
    """
    loop, path, availability = asyncio.get_running_loop(), file.path, Availability()
    connections = stack.enter_context(ExitStack())
    write = _closing(connections, open_writer(path))
    reads = [_closing(connections, open_reader(path)) for _ in range(tuning.readers)]
    lists = await stack.enter_async_context(_lists(path))
    files = DatabaseFiles(file)
    writer = SqliteWriter(
        write,
        loop=loop,
        notify=notifier.notify,
        limits=tuning.batch,
        availability=availability,
        files=files,
    )
    readers = SqliteReaders(
        reads, loop=loop, limit_s=tuning.read_limit_s, availability=availability
    )
    for each in (readers, writer):
        each.start()
        stack.push_async_callback(each.drain)
    store = SqliteStore(writer, readers, lists, availability)
    in_doubt = partial(_is_in_doubt, files, availability)
    attempt = partial(store.write, _rewrite_header)
    await stack.enter_async_context(watching(availability, in_doubt, attempt))
    return store


def _is_in_doubt(files: DatabaseFiles, availability: Availability) -> bool:
    try:
        files.refuse_displaced()
    except DatabaseLostError as error:
        availability.note_write(error)
    return files.has_little_room()


def _rewrite_header(tx: Tx) -> None:
    """Write a page without a change in it."""
    (row,) = tx.all(_USER_VERSION)
    tx.run(statement(text(f"PRAGMA user_version = {row[0]}")))


def _closing(connections: ExitStack, connection: sqlite3.Connection) -> sqlite3.Connection:
    connections.callback(connection.close)
    return connection


@asynccontextmanager
async def _lists(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(file_uri(path), uri=True, isolation_level=None) as connection:
        for pragma in READER_PRAGMAS:
            await connection.execute_fetchall(pragma)
        yield connection
