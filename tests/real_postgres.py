"""A real PostgreSQL for tests: a server of its own, and migrated databases that cost milliseconds.

with start_postgres() as server:
    databases = server.migrated(tmp_path)      # fleet.config.Databases, ready to be opened
    server.restart("immediate")                # as when its process is killed

The server listens on a socket in its folder and on a free port of the loopback interface, trusts
whoever connects there, and knows one user for each role. It refuses to run as root, so root starts
it as `postgres`.
"""

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from fleet.config import Databases
from fleet.grants import Role, user_of
from fleet.store import migrate
from hw.sim.site import free_ports
from tests.real import HOST

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 20.0
TEMPLATE: Final = "kazasu_template"
STOPS: Final[Mapping[str, signal.Signals]] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}
"""How it is told to end: `fast` breaks off what runs, `immediate` leaves recovery to the next
start, as a crash does (PostgreSQL 15, 19.5 Shutting Down the Server)."""


def programs() -> Path:
    """Return the folder of the server's programs: Debian keeps one for each version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        raise RuntimeError("no PostgreSQL server is installed: run scripts/setup")
    return found[-1].parent if found else Path(str(on_path)).parent


def _as_user(command: list[str]) -> list[str]:
    """Return the command as a user that the server takes, ended with the one who started it."""
    who = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    return ["setpriv", *who, "--pdeathsig", "INT", *command]


@dataclass
class Postgres:
    """A server; leaving the `with` block stops it by its process id and removes its folder."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None
    _names: Iterator[int] = field(default_factory=itertools.count)
    _template: str = ""

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def url(self, database: str) -> str:
        """Return a database's URL by the socket, as `fleet.toml` has it."""
        return f"postgresql:///{database}?host={self.folder}&port={self.port}"

    def administrator(self, database: str = "postgres") -> psycopg.Connection:
        """Connect as the server's superuser; each statement commits by itself."""
        return psycopg.connect(
            host=str(self.folder), port=self.port, dbname=database, user="postgres", autocommit=True
        )

    def empty(self) -> str:
        """Make an empty database that the owner's role owns; return its name."""
        return self._create(None)

    def migrated(self, state: Path) -> Databases:
        """Make a database at the present version; its other files lie in `state`."""
        if not self._template:
            name = self.empty()
            migrate(Databases(state, self.url(name)))
            self._template = name
        return Databases(state, self.url(self._create(self._template)))

    def _create(self, template: str | None) -> str:
        name = f"kazasu_{next(self._names)}"
        with contextlib.closing(self.administrator()) as connection:
            _create(connection, name, template)
        return name

    def drop(self, databases: Databases) -> None:
        """Remove a database, whoever is still connected to it."""
        with contextlib.closing(self.administrator()) as connection:
            _drop(connection, _name_in(databases.url))

    def start(self) -> None:
        """Start it and return when it answers: same port, and what it had committed."""
        command = [str(programs() / "postgres"), "-D", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _as_user(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop("immediate")
                raise RuntimeError(f"PostgreSQL does not answer: {self.log}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.administrator().close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: str = "fast") -> None:
        """Stop it and wait until it is gone; harmless when it is."""
        if self.process is None:
            return
        self.process.send_signal(STOPS[how])
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(STOP_TIMEOUT_S)
        self.process = None

    def restart(self, how: str = "fast") -> None:
        """Stop and start it; who was connected no longer is."""
        self.stop(how)
        self.start()


def renamed(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return re.sub(r"(?<=:///)[^?]*", name, url)


def copy_database(*, of: str, to: str) -> None:
    """Make the database `to`, anew where there is one, as `of`: URLs of one server.

    Nobody may be connected to `of`.
    """
    url = renamed(to, "postgres")
    with contextlib.closing(psycopg.connect(url, user="postgres", autocommit=True)) as connection:
        _drop(connection, _name_in(to))
        _create(connection, _name_in(to), _name_in(of))


def _name_in(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _create(connection: psycopg.Connection, name: str, template: str | None) -> None:
    statement = sql.SQL("CREATE DATABASE {} OWNER kazasu_owner TEMPLATE {} STRATEGY {}").format(
        sql.Identifier(name),
        sql.Identifier(template or "template0"),
        sql.SQL("FILE_COPY" if template else "WAL_LOG"),
    )
    connection.execute(statement)


def _drop(connection: psycopg.Connection, name: str) -> None:
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    connection.execute(statement)


@contextlib.contextmanager
def start_postgres(
    *, fsync: bool = True, settings: Mapping[str, object] | None = None
) -> Iterator[Postgres]:
    """Make a server in a temporary folder and start it. `settings` are lines of its configuration.

    Without `fsync` commits survive the death of its process, but not that of the machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="kazasu-pg-"))
    server = Postgres(folder, free_ports(1)[0])
    try:
        folder.chmod(0o755)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        _make_cluster(server, fsync, settings or {})
        server.start()
        with contextlib.closing(server.administrator()) as connection:
            for role in Role:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(user_of(role)))
                )
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _make_cluster(server: Postgres, fsync: bool, settings: Mapping[str, object]) -> None:
    data = server.folder / "data"
    arguments = ["-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    made = subprocess.run(
        _as_user([str(programs() / "initdb"), *arguments, "--locale=C.UTF-8", "--no-sync"]),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"initdb: {made.stderr}")
    lines = {
        "listen_addresses": f"'{HOST}'",
        "port": server.port,
        "unix_socket_directories": f"'{server.folder}'",
        "fsync": "on" if fsync else "off",
        "shared_buffers": "64MB",
        "max_connections": 200,
        **settings,
    }
    with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.writelines(f"{name} = {value}\n" for name, value in lines.items())
