"""A town of real processes that a test starts, stops and harms: broker, fleet, readers' halves.

Only the cards and the antennas are simulated. The folder is short, for the sake of Unix sockets.
"""

import csv
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from edge.config import Config, read_config
from edge.journal import FOLDER, JournalFile, Kept, journals, read_whole
from edge.link import MARKS_FILE, read_marks
from fleet import cli
from fleet.config import read_config as read_fleet_config
from fleet.grants import Role, user_of
from hw.sim.antenna import Antenna
from hw.sim.mynumber import MyNumberCard
from hw.sim.services import leashed
from hw.sim.site import free_ports
from provisioning.credentials import write_credentials
from provisioning.keys import KeyRing
from provisioning.town import Place
from tests.edge.reader_kit import PASS, identifier, lift, my_number_card
from tests.fleet.virtual import begin, bus
from tests.real import Broker, RealTown, start_mosquitto
from wire.clock import SystemClock
from wire.codes import Code
from wire.credential import Credential, Scheme, credential
from wire.entries import Tap

WITHIN_S: Final = 40.0
"""A deadline for what takes a second or two, on a machine with much other work."""
PAUSE_S: Final = 0.03
HOLDS_MAX: Final = 5
ROOT: Final = Path(__file__).parents[2]
FLEET: Final = "import sys; from fleet.cli import main; sys.exit(main())"
T = TypeVar("T")

Identity = tuple[str, int]
"""A journal's id and a number in it."""


def until(probe: Callable[[], T], that: str) -> T:
    """Return the first true value of `probe()`; fails with `that` at the deadline."""
    deadline = time.monotonic() + WITHIN_S
    while not (value := probe()):
        assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {that}"
        time.sleep(PAUSE_S)
    return value


def start(log: Path, *command: str) -> "subprocess.Popen[bytes]":
    """Start a program of ours that ends with the test run, even when that is killed."""
    with log.open("ab") as output:
        return subprocess.Popen(
            leashed([sys.executable, *command]),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
        )


def end(process: "subprocess.Popen[bytes]", how: signal.Signals = signal.SIGTERM) -> None:
    """End a process that was started here, and wait until it is gone."""
    process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class Agent:
    """One reader: its card half and its network half, each of which may be away."""

    config: Config
    path: Path
    antenna: Antenna
    halves: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its journals lie."""
        return Path(self.config.state) / FOLDER

    @property
    def name(self) -> str:
        return self.config.reader

    def start(self, *halves: str) -> None:
        for half in halves or ("tap", "link"):
            log = self.path.with_name(f"{half}.log")
            self.halves[half] = start(log, "-m", "edge.cli", half, str(self.path))

    def stop(self, *halves: str, how: signal.Signals = signal.SIGTERM) -> None:
        for half in halves or tuple(self.halves):
            end(self.halves.pop(half), how)

    def journals(self) -> list[JournalFile]:
        return journals(self.folder)

    def ends(self) -> dict[str, int]:
        """The last readable number of each journal."""
        return dict(sorted(self.written(), key=lambda one: one[1]))

    def kept(self) -> list[Kept]:
        """Every readable entry, oldest first."""
        return [one for file in self.journals() for one in read_whole(file, self.name)]

    def written(self) -> dict[Identity, bytes]:
        """Every readable entry's bytes by its identity."""
        return {
            (file.journal, one.n): one.body
            for file in self.journals()
            for one in read_whole(file, self.name)
        }

    def hold(self, *serials: int) -> list[Tap]:
        """Hold these cards one after the other; return what was written down for each."""
        return [self._hold(my_number_card(serial)) for serial in serials]

    def _hold(self, card: MyNumberCard) -> Tap:
        """Hold a card until it was read: on a busy machine a reader may ask for it again."""
        for _ in range(HOLDS_MAX):
            before = len(self.taps())
            self.antenna.place(card)
            until(lambda before=before: len(self.taps()) > before, f"{self.name} serves a card")  # type: ignore[misc]
            lift(self.antenna)
            if (tap := self.taps()[-1]).code is not Code.HOLD_AGAIN:
                return tap
        raise AssertionError(f"{self.name} cannot read a card in {HOLDS_MAX} tries")

    def taps(self) -> list[Tap]:
        """Every presentation that was written down, oldest first."""
        return [one.entry for one in self.kept() if isinstance(one.entry, Tap)]

    def acknowledged(self) -> dict[str, int]:
        """What the stopped network half has noted of the fleet's answers, by journal."""
        return dict(read_marks(Path(self.config.state) / MARKS_FILE).through)

    def forget_marks(self) -> None:
        """Lose the notes of what the fleet has, which are only a saving."""
        (Path(self.config.state) / MARKS_FILE).unlink()


@dataclass
class WholeTown:
    """The fleet's side, and the readers by the names of their places."""

    town: RealTown
    fleet_toml: Path
    broker: Broker
    agents: dict[str, Agent]
    devices: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def state(self) -> Path:
        return read_fleet_config(self.fleet_toml).state_folder

    def ask(self, sql: str, *values: object, database: str = "fleet.db") -> list[tuple[Any, ...]]:
        """Read rows beside the running fleet."""
        if url := read_fleet_config(self.fleet_toml).database:
            search = f"-c search_path={database.removesuffix('.db')}"
            with psycopg.connect(url, user=user_of(Role.OWNER), options=search) as server:
                return list(server.execute(sql.replace("?", "%s").encode(), values))
        with closing(sqlite3.connect(f"file:{self.state / database}?mode=ro", uri=True)) as opened:
            return list(opened.execute(sql, values))

    def ledger(self, agent: Agent) -> dict[Identity, bytes]:
        rows = self.ask(
            "select j.journal, e.n, e.body from entry e join journal j on j.id = e.journal_id"
            " where j.reader = ?",
            agent.name,
        )
        return {(journal, n): body for journal, n, body in rows}

    def marks(self, agent: Agent) -> dict[str, tuple[int, int, int]]:
        """How far the ledger has each journal: through, seen, claimed by the reader."""
        sql = "select journal, through, seen, claimed from journal where reader = ?"
        return {journal: (t, s, c) for journal, t, s, c in self.ask(sql, agent.name)}

    def gaps(self, agent: Agent) -> list[tuple[str, int, int, str]]:
        """Open gaps: journal, first, last, cause."""
        return self.ask(
            "select j.journal, g.first, g.last, g.cause from gap g join journal j"
            " on j.id = g.journal_id where j.reader = ? and g.closed_at_ms is null"
            " order by g.first",
            agent.name,
        )

    def alarms(self, agent: Agent) -> set[tuple[str, str]]:
        """Open alarms of a reader: kind and subject."""
        sql = "select kind, subject from alarm where reader = ? and cleared_at_ms is null"
        return {(kind, subject) for kind, subject in self.ask(sql, agent.name)}

    def until_ready(self, agent: Agent) -> None:
        """Wait until a reader says that it serves cards, with its rosters and keys."""
        sql = "select reader from reader_state where reader = ? and online and ready"
        until(lambda: self.ask(sql, agent.name), f"{agent.name} is ready")

    def until_kept(self, agent: Agent) -> None:
        """Wait until the ledger holds every entry that can be read on the reader."""
        written = agent.written().items()
        until(lambda: written <= self.ledger(agent).items(), f"all of {agent.name} in the ledger")

    def stop_answered(self, agent: Agent) -> None:
        """Stop a reader once it has heard that the ledger holds all that can be read on it."""
        self.until_kept(agent)
        agent.stop()

        pause_s = 1.0

        def answered() -> bool:
            nonlocal pause_s
            if agent.acknowledged() != agent.ends():  # it was stopped with the answer on its way
                agent.start("link")
                time.sleep(pause_s)
                agent.stop()
                pause_s *= 2  # a machine with much other work has not begun it in one second
            return agent.acknowledged() == agent.ends()

        until(answered, f"{agent.name} has heard of all")

    @contextmanager
    def fleet(self) -> Iterator[None]:
        """Run `ingest` and `dispatch` until left; both listen when the block begins."""
        with self.process("ingest"), self.process("dispatch"):
            yield

    @contextmanager
    def process(self, name: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run one of the two until left; it listens when the block begins."""
        log = self.fleet_toml.with_name(f"{name}.log")

        def times_ready() -> int:
            return log.read_text("utf-8", "replace").count(f"{name} ready") if log.exists() else 0

        ready = times_ready()
        process = start(log, "-c", FLEET, "--config", str(self.fleet_toml), name)
        try:
            until(lambda: times_ready() > ready, f"{name} listens")
            yield process
        finally:
            end(process)

    def start_devices(self) -> None:
        """Serve readers their rosters and keys; a reader that finds nobody tries again."""
        log = self.fleet_toml.with_name("devices.log")
        self.devices.append(start(log, "-c", FLEET, "--config", str(self.fleet_toml), "devices"))

    def stop_devices(self) -> None:
        """End what serves readers; nothing when it was ended."""
        while self.devices:
            end(self.devices.pop())

    def credential(self, serial: int) -> Credential:
        """What a card is in the senior pass."""
        key = KeyRing.read(self.town.folder / "keys" / "programme-keys.json").present(PASS).key
        return credential(
            key, Scheme.COMMON_AP, identifier(my_number_card(serial), Scheme.COMMON_AP)
        )

    def enrol(self, serials: Sequence[int]) -> None:
        """Take these cards' holders in, from a list of identifiers, as a city does."""
        read, turned = (self.town.folder / name for name in ("cards.csv", "members.csv"))
        with read.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["scheme", "identifier", "registration_number", "name"])
            for serial in serials:
                card = identifier(my_number_card(serial), Scheme.COMMON_AP).decode()
                lines.writerow(["common-ap", card, f"A-{serial}", f"山田{serial}"])
        ring = KeyRing.read(self.town.folder / "keys" / "programme-keys.json")
        write_credentials(read, turned, ring.present(PASS))
        command = ["--config", str(self.fleet_toml), "members", "import", str(turned)]
        assert cli.run([*command, "--programme", PASS], SystemClock()) == 0


@contextmanager
def whole_town(members: Sequence[int], *places: Place, database: str = "") -> Iterator[WholeTown]:
    """Provision and start a town; its ingest and its readers are the test's to start.

    `database` is PostgreSQL's URL; without, it has files of SQLite.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kz-")))
        antennas = {place.name: stack.enter_context(Antenna()) for place in places}
        furnished = [
            msgspec.structs.replace(
                place, front_end=antennas[place.name].device, page_port=page_port
            )
            for place, page_port in zip(places, free_ports(len(places)), strict=True)
        ]
        town, fleet_toml = begin(folder, furnished, database)
        broker = stack.enter_context(start_mosquitto(town.folder / "broker"))
        agents = {}
        for name, antenna in antennas.items():
            path = town.folder / "readers" / name / "edge.toml"
            agents[name] = Agent(read_config(path), path, antenna)
            stack.callback(agents[name].stop, how=signal.SIGKILL)
        whole = WholeTown(town, fleet_toml, broker, agents)
        if members:
            whole.enrol(members)
        whole.start_devices()
        stack.callback(whole.stop_devices)
        yield whole


def busses(*names: str) -> list[Place]:
    """Busses with a senior pass."""
    return [bus(name) for name in names]
