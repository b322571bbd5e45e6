"""Kills of whole processes while cards are held: both halves, the fleet's workers, the broker.

Whatever dies is started again at once, as its supervisor would. At the end the ledger is the
readers' journals, entry by entry. Used by the tests and by `scripts/soak`.
"""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from subprocess import Popen
from typing import Final

from tests.edge.reader_kit import my_number_card
from tests.faults.writer_kills import Tally
from tests.real import start_mosquitto
from tests.whole.kit import Agent, WholeTown, busses, whole_town

MEMBERS: Final = range(1, 31)
READERS: Final = ("bus-1", "bus-2")
PAUSE_S: Final = (0.05, 0.6)
"""Between two kills: some fall into the start of what died before."""
WEIGHTS: Final = {"tap": 4, "link": 4, "ingest": 2, "dispatch": 1, "broker": 2}


class Crowd:
    """Holds a card over each antenna without pause, until left."""

    def __init__(self, agents: list[Agent], seed: int) -> None:
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._hold, args=(agent, random.Random(seed + number)))
            for number, agent in enumerate(agents)
        ]

    def _hold(self, agent: Agent, rng: random.Random) -> None:
        while not self._over.wait(rng.uniform(0.03, 0.1)):
            agent.antenna.place(my_number_card(rng.choice(MEMBERS)))
            self._over.wait(rng.uniform(0.05, 0.2))
            agent.antenna.remove()

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class Town:
    """A town whose processes are killed and started again."""

    def __init__(self, town: WholeTown, stack: ExitStack) -> None:
        self._town, self._stack = town, stack
        self._running: dict[str, tuple[AbstractContextManager[Popen[bytes]], Popen[bytes]]] = {}
        for name in ("ingest", "dispatch"):
            self._start(name)
        stack.callback(self._end)

    def _start(self, name: str) -> None:
        context = self._town.process(name)
        self._running[name] = context, context.__enter__()

    def _end(self) -> None:
        for context, _ in self._running.values():
            context.__exit__(None, None, None)
        self._town.broker.stop()

    def kill(self, what: str, rng: random.Random) -> None:
        """Kill one process and start it again."""
        if what == "broker":
            self._town.broker.process.kill()
            self._town.broker.process.wait()
            self._town.broker = start_mosquitto(self._town.broker.folder)
        elif what in self._running:
            context, process = self._running.pop(what)
            process.kill()
            context.__exit__(None, None, None)
            self._start(what)
        else:
            agent = self._town.agents[rng.choice(READERS)]
            agent.stop(what, how=signal.SIGKILL)
            agent.start(what)


def judge(town: WholeTown, tally: Tally) -> None:
    """Wait until the ledger holds what the journals hold; write down what does not agree."""
    for agent in town.agents.values():
        town.until_kept(agent)
        written, ledger = agent.written(), town.ledger(agent)
        tally.entries += len(written)
        tally.taps += len(agent.taps())
        if written != ledger:
            differ = [
                at for at in written.keys() | ledger.keys() if written.get(at) != ledger.get(at)
            ]
            tally.wrong.append(f"{agent.name}: journals and ledger differ in {sorted(differ)[:5]}")
        counted = town.ask("select sum(count) from entry_minute where reader = ?", agent.name)
        if counted != [(len(ledger),)]:
            tally.wrong.append(f"{agent.name}: counted {counted}, there are {len(ledger)}")
    for table in ("conflict", "quarantine"):
        if town.ask(f"select count(*) from {table}") != [(0,)]:
            tally.wrong.append(f"the ledger's {table} is not empty")


def kill(
    kills: int, seed: int, tally: Tally | None = None, *, weights: dict[str, int] = WEIGHTS
) -> Iterator[Tally]:
    """Kill so many processes of one town; yield the tally after each, judged at the end."""
    tally, rng = tally or Tally(), random.Random(seed)
    with whole_town(MEMBERS, *busses(*READERS)) as made, ExitStack() as stack:
        town = Town(made, stack)
        for agent in made.agents.values():
            agent.start()
            made.until_ready(agent)
        with Crowd(list(made.agents.values()), seed):
            for _ in range(kills):
                time.sleep(rng.uniform(*PAUSE_S))
                what = rng.choices(list(weights), list(weights.values()))[0]
                town.kill(what, rng)
                tally.kills += 1
                yield tally
        judge(made, tally)
    yield tally
