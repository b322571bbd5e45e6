"""A town's whole machinery on this machine: identities, lists, broker, fleet and seven readers.

Everything of the product is reached as its users reach it: by its commands, its files, its ports.
Nothing is left running: `close` stops every process by its id.
"""

import asyncio
import contextlib
import datetime
import itertools
import json
import random
import secrets
import socket
import sqlite3
import tomllib
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from hw.sim import papers
from hw.sim.antenna import Antenna, Holder
from hw.sim.control import Answer, Order
from hw.sim.gps import driving
from hw.sim.heads import HeadHolder
from hw.sim.network import Network
from hw.sim.page import Page
from hw.sim.papers import COMPANIES, HOST, PLACES, SCHOOL_OF, TENANT, Ports, ReaderPorts
from hw.sim.people import ATTENDANCE, SENIOR_PASS, TAXI, TAXIS, Enrolment, Person, drawn_card
from hw.sim.report import OpenGap, Row, journal_rows, ledger_rows
from hw.sim.services import (
    CommandFailed,
    Service,
    ServiceDied,
    Services,
    listens,
    run_command,
    says,
    script,
    system_program,
)
from hw.sim.timetable import clock_text
from hw.sim.warp import TownClock, warped

FLEET: Final = "fleet.cli:run"
READY_S_MAX: Final = 60.0
"""Until every reader shows that cards can be held; 10 s on two idle cores."""
PASSWORD_BYTES: Final = 12
TEACHER: Final = "sensei"
"""The account of somebody who sees but his own days."""
PORTS: Final = range(20_000, 32_000)
"""Below Linux's own range for outgoing connections (ip_local_port_range, 32768 to 60999)."""
PORT_DRAWS_MAX: Final = 200
LOST_WHY: Final = "届け出により停止"
OPEN_GAPS: Final = """
    SELECT gap.id, journal.reader, journal.journal, gap.first, gap.last, gap.missing, gap.cause
    FROM gap JOIN journal ON journal.id = gap.journal_id
    WHERE gap.closed_at_ms IS NULL ORDER BY gap.id
"""
"""What `kazasu-fleet gaps list` shows, without its table's width and its number of lines."""
OWED_YEN: Final = """
    SELECT journal.reader, sum(ride.subsidy_yen)
    FROM ride JOIN journal ON journal.id = ride.journal_id
    WHERE ride.outcome = 'accepted' GROUP BY journal.reader
"""
"""What claims add up: a ride that was taken back has a second row with the sign turned."""
BUSY_S_MAX: Final = 5.0
"""How long the fleet's database may be busy; the fleet's own writes take milliseconds."""
DAMAGED: Final = 1
"""Exit status of `kazasu-edge journal` when something is missing; the lines say what."""


class Login(NamedTuple):
    """An account of this demo alone."""

    name: str
    role: str
    right: str
    """For the office, as `accounts add --right` reads it; empty: whatever the role may."""
    password: str

    @classmethod
    def drawn(cls, name: str, role: str, right: str = "") -> "Login":
        """Return an account with a password that nobody knows yet."""
        return cls(name, role, right, secrets.token_urlsafe(PASSWORD_BYTES))


class Site:
    """All of it, in one folder, on one clock."""

    def __init__(
        self,
        folder: Path,
        clock: TownClock,
        day: datetime.date,
        people: Sequence[Person],
        *,
        heads: bool = False,
    ) -> None:
        """Nothing is started yet, but where cards are held; `heads`: at reader heads."""
        ports = free_ports(len(Ports._fields) + len(PLACES) + 2 * len(TAXIS))
        self.tablet_ports: Final = {taxi: ports.pop() for taxi in TAXIS}
        self._gpsd_ports = {taxi: ports.pop() for taxi in TAXIS}
        self._receivers = contextlib.AsyncExitStack()
        self.ports: Final = Ports(*ports[len(PLACES) :])
        self.antennas: Final[dict[str, Holder]] = {
            place: HeadHolder(folder / "heads" / place) if heads else Antenna() for place in PLACES
        }
        self.pages: Final = {
            place: Page(f"{TENANT}/{place}", port)
            for place, port in zip(PLACES, ports, strict=False)
        }
        self.networks: Final = {
            place: Network(self.ports.readers, self.ports.devices) for place in PLACES
        }
        self.logins: Final = (
            Login.drawn("operator", "operator"),
            Login.drawn("clerk", "clerk"),
            *(Login.drawn(one, "clerk", f"{TAXI}:company:{one}") for one in COMPANIES.values()),
            *(
                Login.drawn(one, "clerk", f"{ATTENDANCE}:school:{one}")
                for one in SCHOOL_OF.values()
            ),
            Login.drawn(TEACHER, "clerk", "none"),
        )
        self.services: Final = Services()
        self.events: Final[list[str]] = []
        """Kills, cuts and cards held by somebody at a keyboard, as they happened."""
        self._page_ports = dict(zip(PLACES, ports, strict=False))
        self._folder, self._home, self._logs = folder, folder / "town", folder / "logs"
        self._clock, self._day, self._people = clock, day, people
        self._tasks: set[asyncio.Task[None]] = set()

    # --- start -----------------------------------------------------------------------------------

    async def start(self, say: Callable[[str], None]) -> None:
        """Start everything, step by step. Raises ServiceDied, CommandFailed or OSError."""
        self._logs.mkdir()
        say(f"town: {len(self._people)} people; keys and certificates ...")
        await self._make_identities()
        say("fleet: databases, rules, members ...")
        await self._fill_fleet()
        say("broker and fleet: starting ...")
        await self._start_fleet()
        say("readers: starting seven agents ...")
        await self._receivers.enter_async_context(driving(self._gpsd_ports, self._logs))
        await self._start_readers()

    async def _make_identities(self) -> None:
        town = self._folder / "town.toml"
        fronts = {
            place: ReaderPorts(
                self.antennas[place].device,
                port,
                self.tablet_ports.get(place, 0),
                self._gpsd_ports.get(place, 0),
            )
            for place, port in self._page_ports.items()
        }
        town.write_text(papers.town_file(self.ports, fronts), "utf-8")
        await self._provision("local", str(self._home), "--town", str(town))
        papers.leave_signed_in(self._home / "fleet" / "fleet.toml")
        for place, network in self.networks.items():
            await network.start()
            papers.lead_through(self._config(place), network.broker_port, network.devices_port)

    async def _fill_fleet(self) -> None:
        await self._fleet("init")
        await self._fleet("readers", "import", str(self._home / "fleet" / "registry.json"))
        await asyncio.gather(
            *(
                self._fleet("schemes", "state", *statement.command(self._day))
                for statement in papers.STATEMENTS
            ),
            *(self._fleet("consent", "add", *one.command(self._day)) for one in papers.CONSENTS),
        )
        members = [person.enrolment for person in self._people if person.enrolment]
        await asyncio.gather(
            self._add_rules(),
            *(self._enrol(name, members) for name in (SENIOR_PASS, ATTENDANCE, TAXI)),
            *(self._add_account(login) for login in self.logins),
        )
        await self._employ()

    async def _employ(self) -> None:
        """Say who works at which school, and give the first of them an account of his own."""
        terms = self._folder / f"{ATTENDANCE}-terms.csv"
        papers.terms_file(terms, self._people, self._day)
        await self._fleet("work", "terms", str(terms))
        if mine := papers.teacher(self._people):
            await self._fleet("work", "bind", mine.member, TEACHER)

    async def _add_rules(self) -> None:
        for programme, table in papers.rule_tables(self._day).items():
            path = self._folder / f"rules-{programme}.json"
            path.write_text(json.dumps(table, ensure_ascii=False, indent=1), "utf-8")
            await self._fleet("rules", "add", programme, str(path))

    async def _add_account(self, login: Login) -> None:
        add = ("accounts", "add", login.name, login.role, "--password-file", "-")
        right = ("--right", login.right) if login.right else ()
        await self._fleet(*add, *right, typed=f"{login.password}\n".encode())

    async def _enrol(self, programme: str, everybody: Sequence[Enrolment]) -> None:
        """From what a desk read from the cards to members with credentials, and stop some."""
        members = [member for member in everybody if member.programme == programme]
        listed, turned = (self._folder / f"{programme}-{what}.csv" for what in ("cards", "members"))
        papers.cards_file(listed, members)
        keys = str(self._home / "keys" / "programme-keys.json")
        options = ("--keys", keys, "--programme", programme)
        await self._provision("credentials", str(listed), str(turned), *options)
        listed.unlink()
        await self._import(programme, turned)
        if any(member.scheme is None for member in members):
            cardless = self._folder / f"{programme}-hired.csv"
            papers.members_file(cardless, members)
            await self._import(programme, cardless)
        for member in members:
            if member.stopped:
                stop = ("members", "stop", member.member, LOST_WHY, "--programme", programme)
                await self._fleet(*stop)

    async def _import(self, programme: str, path: Path) -> None:
        await self._fleet("members", "import", str(path), "--programme", programme)

    async def _start_fleet(self) -> None:
        command = [system_program("mosquitto"), "-c", str(self._conf)]
        broker = Service("broker", command, self._logs / "broker.log")
        await self.services.add(broker).start()
        await broker.until(lambda: listens(self.ports.readers))
        ports = {
            "ingest": None,
            "dispatch": None,
            "devices": self.ports.devices,
            "console": self.ports.console,
            "office": self.ports.office,
        }
        for name in ports:
            command = warped(self._clock, FLEET, *self._fleet_config, name)
            service = Service(name, command, self._logs / f"{name}.log")
            await self.services.add(service, "fleet").start()
        for name, port in ports.items():
            service = self.services.groups[name][0]
            if port is not None:
                await service.until(lambda port=port: listens(port))  # type: ignore[misc]
            else:
                await service.until(lambda name=name, service=service: says(service.log, name))  # type: ignore[misc]

    async def _start_readers(self) -> None:
        for place, page in self.pages.items():
            for half in ("tap", "link"):
                name = f"{place}/{half}"
                command = warped(self._clock, f"edge.{half}:main", str(self._config(place)))
                service = Service(name, command, self._logs / f"{place}-{half}.log")
                await self.services.add(service, place).start()
            self._background(page.watch())
        for place, page in self.pages.items():
            if not await page.until_ready(READY_S_MAX):
                raise ServiceDied(f"{place} does not get ready: see {self._logs}")

    # --- what happens to it ----------------------------------------------------------------------

    async def obey(self, order: Order) -> Answer:
        """Kill, cut or hold a card, as a second terminal asks for."""
        known = self.services.groups if order.do == "kill" else self.networks
        if order.name not in known:
            return Answer(False, f"there is no {order.name!r}; there are: {', '.join(known)}")
        if order.do == "hold":
            said = await self._hold(order)
        elif order.do == "kill":
            killed = self.services.kill(order.name)
            said = f"killed {', '.join(service.name for service in killed)}"
        else:
            self._background(self.networks[order.name].cut_for(order.seconds))
            said = f"cut {order.name} off for {order.seconds:g} s"
        self.events.append(f"{clock_text(self._clock.now_ms())} {said}")
        return Answer(True, said)

    async def _hold(self, order: Order) -> str:
        """Let somebody hold a card until a sentence appears; return what it says."""
        antenna, page = self.antennas[order.name], self.pages[order.name]
        holder = next((p for p in self._people if p.card and _number(p) == order.card), None)
        card = holder.card() if holder and holder.card else drawn_card(order.card, self._day)
        async with antenna.turn:
            seen = len(page.sightings)
            antenna.place(card)
            try:
                sighting = await page.next_sighting(seen, order.seconds)
            finally:
                antenna.remove()
        said = page.sentence if sighting else "nothing appeared"
        return f"held {order.card} at {order.name}: {said}"

    def lose_network(self, place: str, seconds: float) -> None:
        """Let a place be where there is no network for so long."""
        self._background(self.networks[place].cut_for(seconds))
        said = f"{place} is without a network for {seconds:g} s"
        self.events.append(f"{clock_text(self._clock.now_ms())} {said}")

    def mend_networks(self) -> None:
        """Bring every network back."""
        for network in self.networks.values():
            network.mend()

    # --- the books -------------------------------------------------------------------------------

    async def journals(self) -> list[Row]:
        """Every entry of every reader, as `kazasu-edge journal` shows them."""
        rows = []
        for place in PLACES:
            lines = await run_command(
                script("kazasu-edge"),
                "journal",
                str(self._config(place)),
                "--json",
                log=self._logs / "commands.log",
                statuses=(0, DAMAGED),
            )
            rows += journal_rows(f"{TENANT}/{place}", lines)
        return rows

    async def ledger(self) -> list[Row]:
        """Every entry of the ledger, as `kazasu-fleet ledger export` shows them."""
        return ledger_rows(await self._fleet("ledger", "export"))

    def entries_in_ledger(self) -> int | None:
        """How many entries the ledger holds, read beside the fleet; None when it is busy."""
        try:
            return int(self._ask("SELECT count(*) FROM entry", busy_s_max=0)[0][0])
        except (OSError, sqlite3.Error):
            return None

    async def open_gaps(self) -> list[OpenGap]:
        """Every gap that the fleet has open, read beside it. Raises CommandFailed."""
        return [OpenGap(*row) for row in await self._asked(OPEN_GAPS)]

    async def owed_yen(self) -> dict[str, int]:
        """What the city owes for rides, by reader, read beside the fleet. Raises CommandFailed."""
        return dict(await self._asked(OWED_YEN))

    async def _asked(self, question: str) -> list[Any]:
        try:
            return await asyncio.to_thread(self._ask, question, BUSY_S_MAX)
        except sqlite3.Error as error:
            raise CommandFailed(f"the fleet's database cannot be read: {error}") from error

    def _ask(self, question: str, busy_s_max: float) -> list[Any]:
        """Read the fleet's database, never write. Raises OSError or sqlite3.Error."""
        config = self._home / "fleet" / "fleet.toml"
        state = config.parent / tomllib.loads(config.read_text("utf-8"))["state"]
        uri = f"file:{state / 'fleet.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=busy_s_max)) as database:
            return database.execute(question).fetchall()

    # --- the end ---------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop everything that was started; may be called at any time, and again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.services.stop()
        await self._receivers.aclose()
        for network in self.networks.values():
            await network.close()
        for antenna in self.antennas.values():
            antenna.close()

    # --- commands --------------------------------------------------------------------------------

    @property
    def _conf(self) -> Path:
        return self._home / "broker" / "mosquitto.conf"

    @property
    def _fleet_config(self) -> tuple[str, str]:
        return "--config", str(self._home / "fleet" / "fleet.toml")

    def _config(self, place: str) -> Path:
        return self._home / "readers" / place / "edge.toml"

    async def _provision(self, *arguments: str) -> None:
        log = self._logs / "commands.log"
        await run_command(script("kazasu-provision"), *arguments, log=log)

    async def _fleet(self, *arguments: str, typed: bytes = b"") -> bytes:
        command = warped(self._clock, FLEET, *self._fleet_config, *arguments)
        return await run_command(*command, log=self._logs / "commands.log", typed=typed)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _number(person: Person) -> str:
    return person.enrolment.member if person.enrolment else ""


def free_ports(count: int) -> list[int]:
    """Return so many different TCP ports that are free on the loopback interface now.

    They lie below those that the system gives to outgoing connections, so none is taken by chance
    before its server starts. Raises OSError when there are not enough.
    """
    drawn = random.SystemRandom().sample(PORTS, PORT_DRAWS_MAX)
    free = list(itertools.islice(filter(_is_free, drawn), count))
    if len(free) < count:
        raise OSError(f"{count} free ports were not found between {PORTS.start} and {PORTS.stop}")
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True
