"""One demo from its first process to its last line: start, play, drain, give account, stop.

Upheld: it answers other terminals from its start on; whatever ends it (the morning, Ctrl-C,
SIGTERM, an error), everything that was started is stopped by its process id; the exit status is 0
only when the books balance.
"""

import asyncio
import contextlib
import datetime
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from hw.sim import control, picture, summary
from hw.sim.account import Account, give_account
from hw.sim.cabs import SECONDS_PER_RIDE, Cab, drive_all, plan_rides
from hw.sim.control import Answer, Order
from hw.sim.papers import DESK, GATES, SCHOOL_OF, TRIAGE_AT
from hw.sim.people import HIRED, TAXIS, draw_people, draw_riders
from hw.sim.services import CommandFailed, ServiceDied
from hw.sim.site import Site
from hw.sim.tablet import Tablet
from hw.sim.timetable import (
    DAY_ENDS,
    JAPAN,
    MORNING_BEGINS,
    MORNING_ENDS,
    instant_ms,
    next_weekday,
    plan_day,
)
from hw.sim.town import SECONDS_PER_VISIT, Town
from hw.sim.warp import TownClock

PEOPLE: Final = 300
RIDERS_SHARE: Final = 0.2
"""For so many others one rides in a taxi; two rides a day are the most."""
RIDERS_MIN: Final = 8
EARLY_MS: Final = 5 * 60_000
"""The town opens at 06:40: the readers have their lists before anybody comes."""
LATE_S_MAX: Final = 30.0
"""How long after the last arrival people who still queue are served."""
FAILED: Final = 1
CANNOT_START: Final = 2


@dataclass(frozen=True)
class Options:
    """What the person who starts a demo chooses; see `kazasu-sim demo --help`."""

    seconds: float | None = None
    report: bool = True
    seed: int = 1
    rate: float = 30
    people: int | None = None
    card_ms: float = 10
    folder: Path | None = None
    heads: bool = False

    @property
    def headcount(self) -> int:
        """Those asked for, else all 300, or as many as there is time to serve."""
        if self.people is not None:
            return self.people
        if self.seconds is None:
            return PEOPLE
        return max(len(GATES), min(PEOPLE, int(len(GATES) * self.seconds / SECONDS_PER_VISIT)))

    @property
    def riders(self) -> int:
        """Those who ride in a taxi, besides."""
        return max(RIDERS_MIN, round(self.headcount * RIDERS_SHARE))


async def run(options: Options, out: Console) -> int:
    """Play one demo; return the exit status: 0 balanced, 1 not, 2 it could not start."""
    try:
        folder = _new_folder(options.folder)
    except OSError as error:
        out.print(f"The demo cannot start: {error}", markup=False)
        return CANNOT_START
    demo, status = None, CANNOT_START
    try:
        demo = Demo(options, folder, out)
        status = await demo.run()
    except (ServiceDied, CommandFailed, OSError) as error:
        out.print(f"The demo cannot go on: {error}", markup=False)
    finally:
        if demo:
            await demo.close()
        if status or options.folder:
            out.print(f"Everything that was written is in {folder}", markup=False)
        else:
            shutil.rmtree(folder)
    return status


def _new_folder(named: Path | None) -> Path:
    """Make the folder of a demo: the one that was named, or one for now. Raises OSError."""
    if named is None:
        return Path(tempfile.mkdtemp(prefix="kazasu-demo-")).resolve()
    folder = named.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    return folder


class Demo:
    """A town on this machine for one morning or day."""

    def __init__(self, options: Options, folder: Path, out: Console) -> None:
        self._options, self._out = options, out
        self._day = next_weekday(datetime.datetime.now(JAPAN).date())
        begins_ms = instant_ms(self._day, MORNING_BEGINS) - EARLY_MS
        self._ends_ms = instant_ms(self._day, MORNING_ENDS if options.seconds else DAY_ENDS)
        rate = (self._ends_ms - begins_ms) / 1000 / options.seconds if options.seconds else None
        self._clock = TownClock.started(folder / "clock", begins_ms, rate or options.rate)
        drawn = options.seed, self._day
        self._people = draw_people(*drawn, options.headcount, options.card_ms)
        self._riders = draw_riders(*drawn, options.riders, options.card_ms)
        everybody = [*self._people, *self._riders]
        self._site = Site(folder, self._clock, self._day, everybody, heads=options.heads)
        self._stop = asyncio.Event()
        self._up = False

    async def run(self) -> int:
        """From the first process to the report. Raises ServiceDied, CommandFailed or OSError."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        async with self._orders():
            if not await self._unless_stopped(self._site.start(self._say)):
                return CANNOT_START
            self._up = True
            self._say_where()
            account = await self._play()
        chosen = self._options
        title = f"{self._day}, seed {chosen.seed}, {self._clock.anchor.rate:g} times real time"
        for line in summary.account(title, account, chosen.card_ms, whole=chosen.report):
            self._out.print(line)
        return FAILED if account.faults else 0

    async def _play(self) -> Account:
        """Let people come until the morning or day is over or somebody stops it."""
        plan = plan_day(self._options.seed, self._day, self._people).until(self._ends_ms)
        town = Town(plan, self._site.antennas, self._site.pages, self._clock)
        self._clock.open_town()
        async with picture.shown(self._out, town, self._site, self._clock):
            await self._unless_stopped(self._let_live(town))
        self._clock.close_town()
        self._say("waiting for what is still on its way ...")
        return await give_account(self._site, town)

    async def _let_live(self, town: Town) -> None:
        """Let people come to the readers, and taxis drive."""
        site, chosen = self._site, self._options
        rides_max = int(chosen.seconds / SECONDS_PER_RIDE) if chosen.seconds else PEOPLE
        rides = plan_rides(chosen.seed, self._day, self._riders, self._ends_ms, rides_max)
        cabs = {
            place: Cab(
                town.gates[place],
                site.antennas[place],
                site.pages[place],
                Tablet(site.pages[place].address),
                self._clock,
                site.lose_network,
            )
            for place in TAXIS
        }
        async with asyncio.TaskGroup() as both:
            both.create_task(town.play(LATE_S_MAX))
            both.create_task(drive_all(cabs, rides, self._clock, LATE_S_MAX))

    async def close(self) -> None:
        """Stop everything; a second Ctrl-C does not stop this."""
        await self._site.close()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do some work to its end, or until somebody stops the demo; then False."""
        task, stop = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
                return True
            return False
        finally:
            for one in (task, stop):
                one.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _orders(self) -> AsyncIterator[None]:
        """Take orders from other terminals: refused until there is something to kill or cut."""
        path = control.socket_path(os.getpid())
        server = await control.serve(path, self._obey)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def _obey(self, order: Order) -> Answer:
        return await self._site.obey(order) if self._up else Answer(False, control.STILL_STARTING)

    def _say(self, step: str) -> None:
        self._out.print(step, markup=False)

    def _say_where(self) -> None:
        site, ports = self._site, self._site.ports
        operator, clerk, *others, teacher = site.logins
        tablets = [f"http://127.0.0.1:{port}/" for port in site.tablet_ports.values()]
        sim = os.path.relpath(Path(sys.executable).with_name("kazasu-sim"))
        lines = [
            "",
            f"operators' console   http://127.0.0.1:{ports.console}/   "
            f"{operator.name} / {operator.password}",
            f"clerks' office       http://127.0.0.1:{ports.office}/   "
            f"{clerk.name} / {clerk.password}",
            *(f"{'':20} for {one.name}: {one.name} / {one.password}" for one in others),
            f"{'':20} for a teacher's own days: {teacher.name} / {teacher.password}",
            *(f"{place:<20} {page.address}" for place, page in site.pages.items()),
            "",
            *self._hired_lines(),
            "school gates: the addresses of school-1 and school-2; who is in: clerks' office, as",
            f"{' or '.join(SCHOOL_OF.values())} → 学校の今; own days: as {teacher.name}",
            "drivers' pages: a bus's address with /driver, a taxi's with /tablet; tablets that are",
            f"paired there (/tablets) call at {', '.join(tablets)}",
            "in another terminal:",
            f"  {sim} kill bus-2",
            f"  {sim} cut school-1 --for 30s",
            f"  {sim} hold {DESK} hanako     (a new card, for a clerk who waits at that desk)",
            f"  {sim} hold taxi-1 hanako     (the same card, when she rides)",
            "Ctrl-C ends it and gives account",
            "",
        ]
        for line in lines:
            self._say(line)

    def _hired_lines(self) -> list[str]:
        """How a card that no list knows becomes a member's, when somebody brings one."""
        hired = sum(person.kind is HIRED for person in self._people)
        if not hired:
            return []
        return [
            f"hired today: {hired} come back to {TRIAGE_AT} all day with a card that no list knows "
            f"(only {TRIAGE_AT} reports such cards)",
            "  clerks' office → 今かざされたカード → このカードを登録 → a new member: "
            "greeted at their next tap",
            "",
        ]
