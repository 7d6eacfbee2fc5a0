"""What cannot be a database of ours is refused with a sentence, and left as it is."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from services.chassis.errors import DomainError
from services.chassis.store.errors import DatabaseRefusedError, SchemaError
from tests.contract.chassis_store.engines import Engine, ids
from tests.contract.chassis_store.releases import tables
from tests.support.mounts import mounted

Use = Callable[[Engine], object]


def opened(engine: Engine) -> list[str]:
    """The ids in it."""

    async def serving() -> list[str]:
        async with engine.open() as store:
            return await ids(store)

    return asyncio.run(serving())


def a_directory(folder: Path) -> Path:
    (folder / "store.db").mkdir()
    return folder / "store.db"


def below_a_file(folder: Path) -> Path:
    (folder / "file").touch()
    return folder / "file" / "store.db"


def a_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def a_socket(folder: Path) -> Path:
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(folder / "socket"))
    return folder / "socket"


def a_device(_folder: Path) -> Path:
    return Path("/dev/null")


def a_loop_of_links(folder: Path) -> Path:
    (folder / "one").symlink_to(folder / "two")
    (folder / "two").symlink_to(folder / "one")
    return folder / "one"


def a_long_name(folder: Path) -> Path:
    return folder / ("n" * 300)


def no_database(folder: Path) -> Path:
    (folder / "letter").write_text("dear reader, " * 200)
    return folder / "letter"


@pytest.mark.parametrize("use", [opened, Engine.migrate, Engine.verify])
@pytest.mark.parametrize(
    "place",
    [
        a_directory,
        below_a_file,
        a_pipe,
        a_socket,
        a_device,
        a_loop_of_links,
        a_long_name,
        no_database,
    ],
)
def test_a_place_for_no_database_is_refused(
    tmp_path: Path, place: Callable[[Path], Path], use: Use
) -> None:
    # given
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    # when
    with pytest.raises(DomainError) as refused:
        use(Engine(f"sqlite:///{path}"))

    # then a line names the file and what to do
    assert isinstance(refused.value, DatabaseRefusedError | SchemaError)
    assert str(path) in refused.value.message
    assert "name a" in refused.value.message or "correct the path" in refused.value.message
    assert "\n" not in refused.value.message

    # and what is there is as it was, but for the lock file of what could be locked
    left = [each for each in sorted(tmp_path.rglob("*")) if each.suffix != ".lock"]
    assert left == before


@pytest.mark.parametrize("use", [opened, Engine.migrate])
@pytest.mark.parametrize("existing", [False, True])
def test_a_read_only_file_system_is_refused(tmp_path: Path, use: Use, existing: bool) -> None:
    with mounted(tmp_path / "disk", size_kib=4096) as disk:
        # given
        engine = Engine(f"sqlite:///{disk / 'store.db'}")
        if existing:
            engine.migrate()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

        # when, then
        with pytest.raises(DatabaseRefusedError, match="read-only file system: mount the file"):
            use(engine)


def test_a_full_disk_is_refused_at_start(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", size_kib=64) as disk:
        (disk / "filler").write_bytes(b"x" * 56 * 1024)
        with pytest.raises(DatabaseRefusedError, match="make room"):
            opened(Engine(f"sqlite:///{disk / 'store.db'}"))


FOREIGN = {
    "a table": "CREATE TABLE note (id INTEGER)",
    "a table of the name of ours": "CREATE TABLE account (id TEXT, balance INTEGER)",
    "a view": "CREATE VIEW one AS SELECT 1",
    "versions of another tool": "CREATE TABLE schema_version (installed_rank INTEGER)",
    "no table yet": "PRAGMA application_id = 1196444487",
}


@pytest.mark.parametrize("use", [opened, Engine.migrate, Engine.verify])
@pytest.mark.parametrize("made_by", FOREIGN)
def test_the_database_of_another_program_is_refused_and_left_as_it_is(
    tmp_path: Path, made_by: str, use: Use
) -> None:
    # given
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(FOREIGN[made_by])
    before = path.read_bytes()

    # when
    with pytest.raises(SchemaError, match="is the database of another program: name another file"):
        use(Engine(f"sqlite:///{path}"))

    # then
    assert path.read_bytes() == before
    assert not path.with_name("other.db-wal").exists()


def test_an_empty_file_and_an_empty_database_are_taken(tmp_path: Path) -> None:
    """A tool that makes files with the right owner and mode leaves such."""
    (tmp_path / "empty.db").touch()
    with closing(sqlite3.connect(tmp_path / "vacuumed.db")) as made:
        made.execute("VACUUM")

    for name in ("empty.db", "vacuumed.db"):
        engine = Engine(f"sqlite:///{tmp_path / name}")
        assert opened(engine) == []
        assert "account" in tables(engine.url)
