"""The store on SQLite: one thread that writes, some that read, one connection for lists."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiosqlite
from sqlalchemy import MetaData

from services.chassis.notifier import Notifier
from services.chassis.store.port import Row, Store, StoreInfo, Tx
from services.chassis.store.sqlite_files import (
    READER_PRAGMAS,
    create_private,
    file_uri,
    open_reader,
    open_writer,
    owner_lock,
)
from services.chassis.store.sqlite_migrating import migrate_owned
from services.chassis.store.sqlite_readers import SqliteReaders
from services.chassis.store.sqlite_tx import translated
from services.chassis.store.sqlite_writer import BatchLimits, SqliteWriter
from services.chassis.store.statement import Statement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SqliteTuning:
    """Numbers that tests and benchmarks vary.

    Attributes:
        read_limit_s: Longest a ``read`` closure may hold its snapshot.
    """

    batch: BatchLimits = field(default_factory=BatchLimits)
    readers: int = 2
    read_limit_s: float = 2.0


class SqliteStore:
    """Implements ``port.Store``."""

    def __init__(
        self, writer: SqliteWriter, readers: SqliteReaders, lists: aiosqlite.Connection
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._lists = lists

    @property
    def info(self) -> StoreInfo:
        return StoreInfo(engine="sqlite", version=sqlite3.sqlite_version, durability="full")

    @property
    def sole_owner(self) -> bool:
        return True

    async def write(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.submit(fn)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._readers.submit(fn)

    async def fetch(self, statement: Statement, /, **params: object) -> list[Row]:
        compiled = statement.sqlite
        try:
            rows = await self._lists.execute_fetchall(compiled.text, compiled.bind(params))
        except sqlite3.Error as error:
            raise translated(error) from error
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
    create_private(path)
    async with AsyncExitStack() as stack:
        stack.enter_context(owner_lock(path))
        await asyncio.to_thread(migrate_owned, path, metadata, migrations)
        yield await _running(path, notifier, tuning, stack)


async def _running(
    path: Path, notifier: Notifier, tuning: SqliteTuning, stack: AsyncExitStack
) -> SqliteStore:
    """Start the threads; the stack ends them in reverse, the writing connection last.

    Whoever closes last checkpoints and removes the WAL, and only the writer may.
    """
    loop = asyncio.get_running_loop()
    connections = stack.enter_context(ExitStack())
    write = _closing(connections, open_writer(path))
    reads = [_closing(connections, open_reader(path)) for _ in range(tuning.readers)]
    lists = await stack.enter_async_context(_lists(path))
    writer = SqliteWriter(write, loop=loop, ring=notifier.ring, limits=tuning.batch)
    readers = SqliteReaders(reads, loop=loop, limit_s=tuning.read_limit_s)
    for each in (readers, writer):
        each.start()
        stack.push_async_callback(each.drain)
    return SqliteStore(writer, readers, lists)


def _closing(connections: ExitStack, connection: sqlite3.Connection) -> sqlite3.Connection:
    connections.callback(connection.close)
    return connection


@asynccontextmanager
async def _lists(path: Path) -> AsyncIterator[aiosqlite.Connection]:
    async with aiosqlite.connect(file_uri(path), uri=True, isolation_level=None) as connection:
        for pragma in READER_PRAGMAS:
            await connection.execute(pragma)
        yield connection
