"""PostgreSQL for tests: an empty schema for each, on the server that answers or on a private one.

The server is ``RUNYARD_TEST_POSTGRES``, else the one on the usual port of this machine. Where none
answers, a private one is started from the installed binaries; where there are none either, tests
that need it are skipped, visibly. ``tests/conftest.py`` loads this module as a plugin.

    def test_it(database_url: str) -> None: ...        # runs twice: on SQLite and on PostgreSQL
    def test_that(postgres_url: str) -> None: ...      # on PostgreSQL alone
    with private_cluster() as cluster: ...             # a server to stop, crash and restart
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

VARIABLE = "RUNYARD_TEST_POSTGRES"
USUAL = "postgresql://postgres@127.0.0.1:5432/test"

_DEBIAN = Path("/usr/lib/postgresql")
_START_LIMIT_S = 60


class ClusterError(Exception):
    """A command of PostgreSQL failed; the message carries its output."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, on one engine after the other."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that does not exist yet, nor does its folder."""
    return f"sqlite:///{tmp_path / 'data' / 'store.db'}"


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of an empty schema, dropped afterwards."""
    with fresh_schema(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server for all tests of this run."""
    server = server_url()
    if answers(server):
        yield server
        return
    if binaries() is None:
        pytest.skip(f"no PostgreSQL: none answers at {VARIABLE}, and initdb is not installed")
    with private_cluster() as cluster:
        yield cluster.url


@pytest.fixture(scope="session")
def emptied_schema(postgres_server: str) -> Iterator[Callable[[str], str]]:
    """By a name of the test's choice: the URL of a schema without a row and without a user.

    The schema stays for the session, tables and all: making them takes longer than most tests.
    """
    with ExitStack() as stack:
        urls: dict[str, str] = {}

        def emptied(name: str) -> str:
            if name not in urls:
                urls[name] = stack.enter_context(fresh_schema(postgres_server))
            terminate(postgres_server, schema_of(urls[name]))
            _empty(urls[name])
            return urls[name]

        yield emptied


def _empty(url: str) -> None:
    names = execute(
        url,
        "SELECT tablename FROM pg_tables"
        " WHERE schemaname = current_schema AND tablename <> 'schema_version'",
    )
    deletes = [sql.SQL("DELETE FROM {}").format(sql.Identifier(str(name))) for (name,) in names]
    if deletes:
        execute(url, sql.SQL(";").join(deletes))


@contextmanager
def fresh_schema(server: str) -> Iterator[str]:
    """The URL of an empty schema on ``server``; dropped on exit, with whoever still uses it."""
    name = f"tmp_{uuid.uuid4().hex[:16]}"
    execute(server, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    joint = "&" if "?" in server else "?"
    try:
        # The name of the application tells whose connections they are.
        yield f"{server}{joint}options=-csearch_path%3D{name}&application_name={name}"
    finally:
        terminate(server, name)
        execute(server, sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def execute(url: str, query: str | sql.Composable) -> list[tuple[object, ...]]:
    """Run one statement on a connection of its own; its rows, if it has any."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)  # type: ignore[arg-type]  # any text: these are tests
        return cursor.fetchall() if cursor.description else []


def schema_of(url: str) -> str:
    """The schema that ``fresh_schema`` put into ``url``."""
    return url.rpartition("application_name=")[2]


def terminate(server: str, schema: str) -> int:
    """Cut every connection that uses ``schema``; answers how many there were."""
    name = sql.Literal(schema)
    who = sql.SQL(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = {}"
    ).format(name)
    return len(execute(server, who))


def binaries() -> Path | None:
    """The folder of ``initdb``, ``pg_ctl`` and ``postgres``, the newest there is."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def private_cluster(*settings: str) -> Iterator[PrivateCluster]:
    """A running server of the test's own, with ``name=value`` settings; skips without binaries.

    Its folder is not the test's: the server runs as another user than root, who may not look
    into that, and the path of a socket has to be short.
    """
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL: initdb is not installed")
    folder = Path(tempfile.mkdtemp(prefix="runyard-pg-"))
    cluster = PrivateCluster(folder, programs, _free_port(), settings)
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(folder)


@dataclass(frozen=True, slots=True)
class PrivateCluster:
    """A server on a port and in a folder of its own; the port stays over restarts."""

    folder: Path
    programs: Path
    port: int
    settings: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def create(self) -> None:
        owner = _server_user()
        if owner is not None:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self._command("initdb", f"--pgdata={self.data}", *options)

    def start(self) -> None:
        """Start it and wait until it takes connections, after a crash with recovery."""
        own = (f"port={self.port}", "listen_addresses=127.0.0.1")
        sockets = f"unix_socket_directories={self.folder}"
        options = " ".join(f"-c {each}" for each in (*own, sockets, *self.settings))
        wait = ("--wait", f"--timeout={_START_LIMIT_S}", f"--log={self.folder / 'log'}")
        self._control("start", *wait, f"--options={options}")

    def stop(self) -> None:
        """Stop it in order: connections are cut, what is committed is checkpointed."""
        self._control("stop", "--mode=fast")

    def kill(self) -> None:
        """Crash it, if it runs: no checkpoint, the next start recovers from its log."""
        if (self.data / "postmaster.pid").exists():
            self._control("stop", "--mode=immediate")

    def restart(self) -> None:
        self.stop()
        self.start()

    def _control(self, action: str, *options: str) -> None:
        self._command("pg_ctl", action, f"--pgdata={self.data}", "--silent", *options)

    def _command(self, program: str, *arguments: str) -> None:
        owner = _server_user()
        # To a file: the server inherits it, and a pipe would stay open as long as that runs.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(self.programs / program), *arguments],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                user=None if owner is None else owner.pw_uid,
                group=None if owner is None else owner.pw_gid,
            )
            output.seek(0)
            if done.returncode != 0:
                raise ClusterError(output.read().decode(errors="replace"))


def _server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as; None = whoever runs the tests. It refuses to run as root."""
    if os.geteuid() != 0:
        return None
    known = {each.pw_name: each for each in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def server_url() -> str:
    """Where the server of the tests is expected."""
    return os.environ.get(VARIABLE, USUAL)


def answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
