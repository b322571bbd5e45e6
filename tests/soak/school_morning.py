"""A morning at three schools: real halves of real readers, a real fleet, networks that come and go.

People queue before each gate, press, hold cards, look at the screen, correct and answer. What they
did and what they were told is kept here; `tests.soak.school_judge` compares it with all the rest.
"""

import asyncio
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from edge.config import read_config
from edge.panel import Shown
from edge.roster import FOLDER as LISTS
from edge.roster import KEYS
from fleet import cli
from fleet.config import read_config as read_fleet_config
from fleet.grants import Role
from fleet.store import open_persons
from hw.sim.antenna import Antenna
from hw.sim.network import Network
from hw.sim.papers import lead_through
from hw.sim.site import free_ports
from tests.edge.gate_kit import Gate
from tests.edge.reader_kit import Link, my_number_card
from tests.fleet.virtual import begin
from tests.real import RealTown, start_mosquitto
from tests.soak.school_door import AGAIN_S, PATIENCE_S, Met, Said, School, Screen
from tests.soak.school_people import Size, Visit, gate_of_yesterday, plan
from tests.soak.school_town import SCHOOL, employ, gate_place
from tests.whole.kit import Agent, WholeTown, end, start, until
from wire.clock import SystemClock

DAY_MS: Final = 24 * 3_600_000
PULLED: Final = (f"{LISTS}/{SCHOOL}.roster", KEYS)
"""What a reader must have before its first card, in its state folder."""
YESTERDAY: Final = f"""
import sys
from edge.tap import main
from wire.clock import SystemClock
class Yesterday(SystemClock):
    def now_ms(self):
        return super().now_ms() - {DAY_MS}
sys.exit(main(sys.argv[1:], Yesterday()))
"""
"""A card half of the day before."""


@dataclass
class Morning:
    """All of it, while it runs and after it; `tests.soak.school_judge` judges."""

    whole: WholeTown
    schools: list[School]
    members: list[int]
    yesterday: dict[int, Said]
    """How the forgetful came the day before."""
    began_ms: int
    ended_ms: int = 0

    @property
    def met(self) -> list[Met]:
        """Return everybody who came, school by school."""
        return [one for school in self.schools for one in school.met]


def organisation_of(gate: int) -> str:
    """Return the school of a gate."""
    return f"school-{gate + 1}"


@contextmanager
def morning(folder: Path, size: Size, seed: int, database: str = "") -> Iterator[Morning]:
    """Let a morning pass; give all that came of it, while its databases are there."""
    visits = plan(size, seed)
    with ExitStack() as stack:
        whole, members = _begin(stack, folder, size, database)
        with whole.fleet():
            for agent in whole.agents.values():
                agent.start("link")
            for agent in whole.agents.values():
                until(partial(_has_pulled, agent), "lists and keys are there")
                agent.stop(how=signal.SIGKILL)
            yesterday = _yesterday(whole, visits)
            made = Morning(whole, [], members, yesterday, SystemClock().now_ms())
            asyncio.run(_pass(made, size, visits, seed))
            made.ended_ms = SystemClock().now_ms()
        yield made


def _has_pulled(agent: Agent) -> bool:
    return all((Path(agent.config.state) / one).exists() for one in PULLED)


def _begin(
    stack: ExitStack, folder: Path, size: Size, database: str
) -> tuple[WholeTown, list[int]]:
    names = [f"gate-{gate + 1}" for gate in range(size.gates)]
    antennas = {name: stack.enter_context(Antenna()) for name in names}
    places = [
        msgspec.structs.replace(
            gate_place(name, organisation_of(gate)), front_end=antennas[name].device, page_port=port
        )
        for gate, (name, port) in enumerate(zip(names, free_ports(size.gates), strict=True))
    ]
    town, fleet_toml = begin(folder, places, database)
    agents = {}
    for name, antenna in antennas.items():
        path = town.folder / "readers" / name / "edge.toml"
        agents[name] = Agent(read_config(path), path, antenna)
        stack.callback(agents[name].stop)
    members = _employ(town, fleet_toml, size)
    broker = stack.enter_context(start_mosquitto(town.folder / "broker"))
    whole = WholeTown(town, fleet_toml, broker, agents)
    whole.start_devices()
    stack.callback(whole.stop_devices)
    return whole, members


def _employ(town: RealTown, fleet_toml: Path, size: Size) -> list[int]:
    people = open_persons(read_fleet_config(fleet_toml).databases, Role.OWNER)
    try:
        school_of = [organisation_of(person % size.gates) for person in range(size.people)]
        command = partial(_command, fleet_toml)
        return employ(command, town, people, school_of)
    finally:
        people.close()


def _command(fleet_toml: Path, *argv: str) -> int:
    return cli.run(["--config", str(fleet_toml), *argv], SystemClock())


def _yesterday(whole: WholeTown, visits: list[Visit]) -> dict[int, Said]:
    """Let the forgetful come the day before, at readers that nobody hears."""
    found = {}
    agents = list(whole.agents.values())
    for number, agent in enumerate(agents):
        here = [person for person, gate in gate_of_yesterday(visits).items() if gate == number]
        log = agent.path.with_name("yesterday.log")
        process = start(log, "-c", YESTERDAY, str(agent.path))
        try:
            link = Link(Path(agent.config.state))
            gate = Gate(link, agent.antenna)
            for person in here:
                while not gate.hold(my_number_card(person + 1)).startswith(SCHOOL):
                    time.sleep(AGAIN_S)  # the reader asks for it again
                (*_, one) = (one for one in link.heard if isinstance(one, Shown))
                told = (one.at_ms, one.outcome, one.code, one.message)
                found[person] = Said((one.journal, one.n), *told)
            link.close()
        finally:
            end(process)
    return found


async def _pass(made: Morning, size: Size, visits: list[Visit], seed: int) -> None:
    """Let people come while networks flap; then mend those, and let everything arrive."""
    whole, watching = made.whole, []
    for number, agent in enumerate(whole.agents.values()):
        network = Network(whole.broker.readers_port, whole.town.town.ports.devices)
        await network.start()
        lead_through(agent.path, network.broker_port, network.devices_port)
        agent.start()
        screen = Screen(agent.name, agent.config.page_port)
        made.schools.append(School(number, agent, network, screen))
        watching.append(asyncio.create_task(screen.watch()))
    for school in made.schools:
        assert await school.screen.until_ready(PATIENCE_S), _logs(school.agent)
        await asyncio.to_thread(whole.until_kept, school.agent)
        await school.screen.until_told()  # now it also knows the time
    flaps = [
        asyncio.create_task(school.flap(size, random.Random(f"flap {seed} {school.number}")))
        for school in made.schools
    ]
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as coming:
        for visit in visits:
            await asyncio.sleep(max(0, began_s + visit.at_s - time.monotonic()))
            coming.create_task(made.schools[visit.gate].meet(visit))
    await _cancelled(flaps)
    for school in made.schools:
        await asyncio.to_thread(whole.until_kept, school.agent)
    await _cancelled(watching)
    for school in made.schools:
        school.agent.stop(how=signal.SIGKILL)
        await school.network.close()


def _logs(agent: Agent) -> str:
    """Return what both halves of a reader have written, for whoever looks why it is not there."""
    return "\n".join(
        f"{agent.name} {one.name}: {one.read_text('utf-8', 'replace')}"
        for one in sorted(agent.path.parent.glob("*.log"))
    )


async def _cancelled(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
