"""From the broker to the committed ledger: ours with everything in, against what others would run.

Ours is the real `kazasu-fleet ingest` behind mosquitto with TLS: each batch verified, its chain
worked out, each tap decided again, counted, stored, committed, acknowledged with a signature. The
others take the same taps one by one over a plain listener, verify nothing and decide nothing:
`tests.bench.obvious`, and Node-RED with ten connections. The ceiling is PostgreSQL's own COPY.
Every run ends with a count of what is in the database.
"""

import contextlib
import json
import os
import pickle
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from fleet.config import read_config
from fleet.grants import Role
from fleet.schema import card, member, person
from fleet.store import open_fleet, open_persons
from hw.sim.site import free_ports
from tests.bench import obvious
from tests.bench.figures import Table, quantile
from tests.fleet.virtual import Journal, begin, bus, reader_of
from tests.real import HOST
from tests.real_postgres import Postgres, start_postgres
from wire.codes import Code
from wire.credential import Scheme
from wire.entries import Tap, encode
from wire.limits import BATCH_ENTRIES_MAX
from wire.topics import Leaf, parse_reader, topic

READERS: Final = 200
MEMBERS: Final = 10_000
FULL_BATCHES: Final = 4
"""Of BATCH_ENTRIES_MAX from each reader: 160,000 entries."""
LONE_BATCHES: Final = 40
"""Of one entry from each reader: 8,000 entries."""
PEER_TAPS: Final = 5_000
RATE: Final = 1_000.0
"""Lone entries a second of all readers together, where the answer is timed."""
COPY_ROWS: Final = 100_000
COPY_BATCH: Final = 500
SETTINGS: Final = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "15min"}
READY_S_MAX: Final = 120.0
NODE_RED: Final = Path(__file__).parent / "nodered"
BROKER_PLAIN: Final = """
listener {port} 127.0.0.1
allow_anonymous true
"""
BROKER_PEERS: Final = """
set_tcp_nodelay true
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
persistence false
"""


class NotReady(RuntimeError):
    """A process did not get ready, or what it stored is not what was sent."""


@dataclass(frozen=True)
class Result:
    """One run: entries stored, seconds, CPU of the process measured, and µs to each answer."""

    entries: int
    took_s: float
    cpu_s: float
    us: Sequence[float] = ()

    @property
    def rate(self) -> float:
        """Entries a second."""
        return self.entries / self.took_s


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, word: str, **more: Any) -> Iterator[int]:
    """Run a process, ready when its output has `word` (or at once); yield its id."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **more)
    try:
        deadline = time.monotonic() + READY_S_MAX
        while word and word not in log.read_text("utf-8", errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NotReady(log.read_text("utf-8", errors="replace")[-2000:])
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process so far (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def broker(folder: Path, configuration: str, port: int) -> Iterator[None]:
    """Run a mosquitto of this configuration, ready when it listens at a plain `port` too."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench.conf"
    path.write_text(configuration + BROKER_PLAIN.format(port=port), "utf-8")
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise NotReady("mosquitto is not installed: run scripts/setup")
    with running([program, "-c", str(path)], folder / "bench-broker.log", ""):
        deadline = time.monotonic() + READY_S_MAX
        while not _listens(port):
            if time.monotonic() > deadline:
                raise NotReady("mosquitto does not listen")
            time.sleep(0.02)
        yield


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def play(port: int, messages: Mapping[str, list[bytes]], folder: Path, rate: float = 0.0) -> Any:
    """Let the load's own process play these messages; return what it found."""
    path = folder / "load.pickle"
    path.write_bytes(pickle.dumps(messages))
    command = [sys.executable, "-m", "tests.bench.load", str(port), str(path), "--rate", str(rate)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise NotReady(done.stderr.decode()[-2000:])
    return json.loads(done.stdout)


def tap(n: int, credential: str, at_ms: int) -> Tap:
    """Return a ride as a reader would have decided it."""
    journal = Journal("tenant/reader", _NO_JOURNAL)
    journal.tap(
        at_ms=at_ms,
        code=Code.OK,
        scheme=Scheme.COMMON_AP,
        key_epoch=1,
        credential=credential,
        category="all",
        rider_pays_yen=50,
        rule="senior-pass/2026-04",
        roster=1,
        roster_age_s=60,
        line="1",
        duty="1-0645",
        stop="市役所前",
    )
    made = msgspec.json.decode(journal.entries[0].body, type=Tap)
    return msgspec.structs.replace(made, n=n)


_NO_JOURNAL: Final[Any] = "0" * 32


class Ours:
    """A town of buses and its fleet, with its real processes."""

    def __init__(self, folder: Path, database: str, readers: int = READERS) -> None:
        self.folder = folder
        self.readers = readers
        self.town, self.config_path = begin(
            folder, [bus(f"bus-{number}") for number in range(readers)], database
        )
        self.config = read_config(self.config_path)
        self.cards = [f"{random.getrandbits(128):032x}" for _ in range(MEMBERS)]
        self._enrol()
        self._sent: dict[str, int] = {}
        self.journals = []
        for number in range(readers):
            reader = reader_of(self.town, f"bus-{number}")
            self.journals.append((reader, reader.journal()))

    def _enrol(self) -> None:
        people = open_persons(self.config.databases, Role.OWNER)
        numbers = range(1, MEMBERS + 1)
        with people.write() as connection:
            connection.execute(
                person.insert(),
                [{"id": n, "name": f"山田{n}", "updated_at_ms": 0} for n in numbers],
            )
            connection.execute(
                member.insert(),
                [
                    {
                        "id": n,
                        "person_id": n,
                        "programme": "senior-pass",
                        "registration_number": str(n),
                        "category": "all",
                        "updated_at_ms": 0,
                    }
                    for n in numbers
                ],
            )
            connection.execute(
                card.insert(),
                [
                    {
                        "member_id": n,
                        "programme": "senior-pass",
                        "credential": self.cards[n - 1],
                        "scheme": "common-ap",
                        "key_epoch": 1,
                        "assigned_at_ms": 0,
                        "assigned_by": "bench",
                    }
                    for n in numbers
                ],
            )
        people.close()

    def messages(self, batches: int, size: int) -> dict[str, list[bytes]]:
        """Return the next signed batches of every reader; the first of all begins its journal."""
        found: dict[str, list[bytes]] = {}
        now_ms = int(time.time() * 1000)
        for reader, journal in self.journals:
            payloads = []
            for _ in range(batches):
                done = self._sent.get(reader.name, 0)
                while len(journal.entries) < done + size:
                    n = len(journal.entries) + 1
                    # Each card at most once in the repeat window: 200 s from tap to tap.
                    one = tap(n, random.choice(self.cards), now_ms + 200_000 * (n - 5_000))
                    journal.write(one)
                self._sent[reader.name] = len(journal.entries)
                payloads.append(reader.sign(journal.batch(done + 1, len(journal.entries))))
            found[topic(parse_reader(reader.name), Leaf.ENTRIES)] = payloads
        return found

    @contextlib.contextmanager
    def processes(self, workers: int) -> Iterator[tuple[int, list[int]]]:
        """Run broker, dispatch and workers; yield the load's port and the workers' ids."""
        home = self.town.folder / "broker"
        port = free_ports(1)[0]
        command = [str(Path(sys.executable).with_name("kazasu-fleet"))]
        command += ["--config", str(self.config_path)]
        with contextlib.ExitStack() as stack:
            stack.enter_context(broker(home, (home / "mosquitto.conf").read_text("utf-8"), port))
            log = self.folder / "dispatch.log"
            stack.enter_context(running([*command, "dispatch"], log, "dispatch ready"))
            self._until_rosters()
            pids = [
                stack.enter_context(
                    running([*command, "ingest"], self.folder / f"ingest-{n}.log", "ingest ready")
                )
                for n in range(workers)
            ]
            yield port, pids

    def _until_rosters(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while self.count("roster") < self.readers:
            if time.monotonic() > deadline:
                raise NotReady("the rosters were not built")
            time.sleep(0.1)

    def count(self, table: str) -> int:
        """Return the rows of a table of the fleet's database."""
        store = open_fleet(self.config.databases, Role.OWNER)
        try:
            with store.read() as connection:
                return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())
        finally:
            store.close()

    def run(self, workers: int, batches: int, size: int, rate: float = 0.0) -> Result:
        """Play batches through the processes; every entry must be in the ledger, none flagged."""
        with self.processes(workers) as (port, pids):
            play(port, self.messages(1, 1), self.folder)  # every reader known, every roster open
            stood = self.count("entry")
            messages = self.messages(batches, size)
            before = sum(map(cpu_s, pids))
            found = play(port, messages, self.folder, rate)
            used = sum(map(cpu_s, pids)) - before
        stored, expected = self.count("entry") - stood, self.readers * batches * size
        if stored != expected or self.count("finding"):
            raise NotReady(f"{stored} of {expected} entries, {self.count('finding')} findings")
        return Result(stored, found["s"], used, found["us"])


def peer(server: Postgres, folder: Path, command: Sequence[str], word: str, **more: Any) -> Result:
    """Let one of the others take PEER_TAPS taps; `{port}` and `{dsn}` stand in the command."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_ports(1)[0]
    name = server.empty()
    cards = [f"{random.getrandbits(128):032x}" for _ in range(MEMBERS)]
    with contextlib.closing(server.administrator(name)) as database:
        database.execute(obvious.TABLES)
        with database.cursor() as cursor, cursor.copy("COPY member FROM STDIN") as copy:
            for one in cards:
                copy.write_row((one, 0))
        messages: dict[str, list[bytes]] = {}
        for n in range(1, PEER_TAPS + 1):
            reader = f"bus-{n % READERS}"
            plain = json.loads(encode(tap(n, random.choice(cards), 1_780_455_600_000 + n)))
            payload = json.dumps(plain | {"journal": "0" * 32}, ensure_ascii=False).encode()
            messages.setdefault(f"tap/{reader}", []).append(payload)
        dsn = f"host={server.folder} port={server.port} dbname={name} user=postgres"
        filled = [part.format(port=port, dsn=dsn) for part in command]
        environment = os.environ | {
            "MQTT_PORT": str(port),
            "PORT": str(free_ports(1)[0]),
            "PGHOST": str(server.folder),
            "PGPORT": str(server.port),
            "PGUSER": "postgres",
            "PGDATABASE": name,
        }
        with (
            broker(folder, BROKER_PEERS, port),
            running(filled, folder / "peer.log", word, env=environment, **more) as pid,
        ):
            before, began = cpu_s(pid), time.perf_counter()
            play(port, messages, folder)
            while _stored(database) < PEER_TAPS:
                if time.perf_counter() - began > READY_S_MAX:
                    raise NotReady(f"{_stored(database)} of {PEER_TAPS}")
                time.sleep(0.05)
            return Result(PEER_TAPS, time.perf_counter() - began, cpu_s(pid) - before)


def _stored(database: psycopg.Connection) -> int:
    found = database.execute("SELECT count(*) FROM tap").fetchone()
    return int(found[0]) if found else 0


def node_red(server: Postgres, folder: Path) -> Result:
    """Run Node-RED, installed beside its flow from the lock file."""
    if not (NODE_RED / "node_modules").exists():
        subprocess.run(
            ["npm", "ci", "--no-progress"], cwd=NODE_RED, check=True, capture_output=True
        )
    command = ["node", "node_modules/node-red/red.js", "-s", "settings.js"]
    home = folder / "home"
    home.mkdir(parents=True)
    command += ["-u", str(home)]
    return peer(server, folder, command, "Connected to broker", cwd=NODE_RED)


def copy_ceiling(server: Postgres) -> Result:
    """COPY the same rows into a table with its key, COPY_BATCH rows a commit, on one connection."""
    name = server.empty()
    rows = []
    for n in range(COPY_ROWS):
        one = tap(n + 1, f"{random.getrandbits(128):032x}", 1_780_455_600_000 + n)
        key = ("bus-1", "0" * 32, n, one.at_ms)
        said = (one.programme, one.outcome.value, one.code.value, one.credential, one.category)
        rows.append((*key, *said, one.rider_pays_yen, one.rule, encode(one).decode()))
    with contextlib.closing(server.administrator(name)) as database:
        database.execute(obvious.TABLES)
        began = time.perf_counter()
        for start in range(0, COPY_ROWS, COPY_BATCH):
            with database.cursor() as cursor, cursor.copy("COPY tap FROM STDIN") as copy:
                for row in rows[start : start + COPY_BATCH]:
                    copy.write_row(row)
        return Result(COPY_ROWS, time.perf_counter() - began, 0.0)


def measure(beside: Path) -> dict[str, Result]:
    """Run everything once, on the disk that holds `beside`."""
    found: dict[str, Result] = {}
    with (
        tempfile.TemporaryDirectory(dir=beside, prefix=".bench-") as temporary,
        start_postgres(settings=SETTINGS) as server,
    ):
        folder = Path(temporary)
        command = [sys.executable, "-m", "tests.bench.obvious", "{port}", "{dsn}"]
        found["obvious"] = peer(server, folder / "obvious", command, "ready")
        if shutil.which("node") and shutil.which("npm"):
            found["node-red"] = node_red(server, folder / "node-red")
        found["copy"] = copy_ceiling(server)
        for name in ("sqlite", "postgresql"):
            database = server.url(server.empty()) if name == "postgresql" else ""
            ours = Ours(folder / name, database)
            for workers in (1, 2) if database else (1,):
                some = f"{name}, {workers} worker{'s' if workers > 1 else ''}"
                full = ours.run(workers, FULL_BATCHES, BATCH_ENTRIES_MAX)
                found[f"{some}, batches of {BATCH_ENTRIES_MAX}"] = full
                found[f"{some}, batches of 1"] = ours.run(workers, LONE_BATCHES, 1)
                paced = ours.run(workers, LONE_BATCHES, 1, RATE)
                found[f"{some}, batches of 1, {RATE:,.0f} a second"] = paced
    return found


def bench(beside: Path) -> Table:
    """Measure, and hold it against the goals."""
    found = measure(beside)
    base = found["obvious"].rate
    labels = {
        "obvious": "paho + psycopg: SELECT, INSERT, UPDATE, COMMIT a tap",
        "node-red": "Node-RED 4.1: one statement a tap, ten connections",
        "copy": f"COPY, {COPY_BATCH} rows a commit, no broker",
    }
    rows = []
    for name, one in found.items():
        waits = ["–", "–"]
        if one.us:
            waits = [f"{quantile(one.us, share) / 1000:.1f}" for share in (0.5, 0.99)]
        cpu = f"{one.cpu_s / one.entries * 1e6:.0f}" if one.cpu_s else "–"
        cells = [f"{one.rate:,.0f}", cpu, f"{one.rate / base:.1f}", *waits]
        rows.append([labels.get(name, name), *cells])
    return Table(
        "The whole way into the ledger",
        f"{READERS} readers with one batch in flight each, {MEMBERS:,} members; load, broker, "
        "database and workers share this machine's cores. Ours includes TLS, signatures, chain, "
        "the decision made again, counts, commit and a signed acknowledgement; the answer is timed "
        "from publishing to the acknowledgement. Full batches are limited by Python's work for "
        "each entry in one process, lone ones by what a group costs: a signature checked and one "
        "made for each message, a commit, and on PostgreSQL six round trips beside four other "
        "processes on the same cores, which is also why a second worker brings less than twice.",
        ["how", "entries/s", "CPU µs/entry", "÷ obvious", "answer p50 ms", "p99 ms"],
        rows,
        list(_goals(found)),
    )


def _goals(found: Mapping[str, Result]) -> Iterator[tuple[str, bool]]:
    best = max(
        one.rate
        for name, one in found.items()
        if name.startswith("postgresql") and name.endswith(str(BATCH_ENTRIES_MAX))
    )
    goals = [("obvious", 20.0), ("node-red", 6.0), ("copy", 1 / 12)]
    for name, goal in goals:
        if name in found:
            ratio = best / found[name].rate
            yield f"PostgreSQL: {ratio:.2f} times {name} (goal {goal:.2f})", ratio >= goal
    for name, one in found.items():
        if "a second" in name:
            p50, p99 = (quantile(one.us, share) / 1000 for share in (0.5, 0.99))
            text = f"{name}: answered in {p50:.1f} ms p50, {p99:.1f} ms p99 (goal 5 and 20)"
            yield text, p50 <= 5 and p99 <= 20
