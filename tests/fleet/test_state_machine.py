"""Whatever readers, broker, workers and their machines do, in any order: nothing is lost or twice.

Hypothesis draws the steps. In CI they are the same at each run, and what fails is shown as it is;
KAZASU_MACHINE_RUNS=500 draws so many others, and shortens what fails, for as long as that takes.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.fleet.whole_world import HOUR_S, NAMES, Template, World, folder_in_memory
from tests.real_postgres import Postgres
from wire.mqtt import Message

RUNS: Final = int(os.environ.get("KAZASU_MACHINE_RUNS", "0"))
"""0: the few runs of CI."""
RUNS_IN_CI: Final = {"sqlite": 20, "postgresql": 8}
STEPS: Final = 30
GROUP_MAX: Final = 5
READERS: Final = st.integers(0, len(NAMES) - 1)
WORKERS: Final = st.integers(0, 1)
INDEX: Final = st.integers(0, 10)


class Machine(RuleBasedStateMachine):
    """One world from its beginning to the moment when all has arrived."""

    template: ClassVar[Template]
    world: World

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.exchanged = False
        """It is a slow step: CI takes it once a run."""

    @initialize()
    def begin(self) -> None:
        self.world = self._stack.enter_context(self.template.world())

    # --- readers ---------------------------------------------------------------------------------

    @rule(
        reader=READERS,
        cards=st.lists(st.integers(0, 2), min_size=1, max_size=6),
        pause_s=st.sampled_from([1, 60, 200]),
    )
    def tap(self, reader: int, cards: list[int], pause_s: int) -> None:
        for card in cards:
            self.world.riders[reader].tap(self.template.cards[card])
            self.world.pass_s(pause_s)

    @rule(reader=READERS)
    def send(self, reader: int) -> None:
        if message := self.world.riders[reader].send():
            self.world.up.append(message)

    @rule(reader=READERS)
    def give_up_waiting(self, reader: int) -> None:
        rider = self.world.riders[reader]
        rider.give_up_waiting()
        if message := rider.send():
            self.world.up.append(message)

    @rule(reader=READERS)
    def write_marks(self, reader: int) -> None:
        rider = self.world.riders[reader]
        rider.kept_marks = rider.uplink.marks

    @rule(reader=READERS)
    def restart_reader(self, reader: int) -> None:
        rider = self.world.riders[reader]
        rider.end()
        self.world.pass_s(1)
        rider.begin()

    # --- the broker ------------------------------------------------------------------------------

    @precondition(lambda self: self.world.up)
    @rule(at=INDEX, keep=st.booleans())
    def lose_or_repeat(self, at: int, keep: bool) -> None:
        at %= len(self.world.up)
        if keep:
            self.world.up.append(self.world.up[at])
        else:
            del self.world.up[at]

    @precondition(lambda self: self.world.down)
    @rule(at=INDEX, lose=st.booleans(), keep=st.booleans())
    def answer(self, at: int, lose: bool, keep: bool) -> None:
        at %= len(self.world.down)
        letter = self.world.down[at]
        if not keep:
            del self.world.down[at]
        if not lose:
            rider, ack = self.world.opened(letter)
            rider.hear(ack)

    # --- the fleet -------------------------------------------------------------------------------

    @precondition(lambda self: self.world.up)
    @rule(worker=WORKERS, at=st.lists(INDEX, min_size=1, max_size=GROUP_MAX), keep=st.booleans())
    def deliver(self, worker: int, at: list[int], keep: bool) -> None:
        """Any messages in any order; those that are kept arrive once more."""
        self.world.take(worker, self._group(at, keep))

    @precondition(lambda self: self.world.up)
    @rule(worker=WORKERS, at=st.lists(INDEX, min_size=1, max_size=GROUP_MAX), again=st.booleans())
    def commit_fails(self, worker: int, at: list[int], again: bool) -> None:
        group = self._group(at, keep=False)
        self.world.fail(worker, group)
        if again:
            self.world.take(worker, group)

    @precondition(lambda self: self.world.up)
    @rule(worker=WORKERS, at=st.lists(INDEX, min_size=1, max_size=GROUP_MAX))
    def die_after_the_commit(self, worker: int, at: list[int]) -> None:
        answered = list(self.world.down)
        self.world.take(worker, self._group(at, keep=False))
        self.world.down = answered
        self.world.restart_fleet()

    @rule()
    def restart_fleet(self) -> None:
        self.world.restart_fleet()

    @rule(reader=READERS)
    def report(self, reader: int) -> None:
        self.world.report(self.world.riders[reader])

    @rule()
    def feed(self) -> None:
        self.world.pass_s(HOUR_S // 2)
        self.world.feed()

    @rule()
    def sweep(self) -> None:
        self.world.fleet.dispatch.sweep()
        self.world.pass_s(61)
        self.world.fleet.dispatch.sweep()

    @precondition(lambda self: RUNS > 0 or not self.template.server)
    @rule()
    def back_up(self) -> None:
        self.world.back_up()

    @precondition(lambda self: self.world.backup is not None)
    @rule()
    def restore(self) -> None:
        self.world.restore()

    @precondition(lambda self: RUNS > 0 or not (self.template.server or self.exchanged))
    @rule(reader=READERS)
    def lose_what_was_answered(self, reader: int) -> None:
        """The database's disk is exchanged after more has come than the backup has."""
        self.exchanged = True
        self.world.back_up()
        for card in self.template.cards:
            self.world.riders[reader].tap(card)
        self.world.drain()
        self.world.restore()

    @rule(seconds=st.sampled_from([-HOUR_S, HOUR_S]))
    def clock_steps(self, seconds: int) -> None:
        self.world.step(seconds)

    def _group(self, at: list[int], keep: bool) -> list[Message]:
        up = self.world.up
        chosen = list(dict.fromkeys(one % len(up) for one in at))
        group = [up[one] for one in chosen]
        if not keep:
            self.world.up = [one for n, one in enumerate(up) if n not in chosen]
        return group

    def teardown(self) -> None:
        """In the end all arrives, and all must be right."""
        try:
            if hasattr(self, "world"):
                self.world.drain()
                self.world.judge()
        finally:
            self._stack.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def template(request: pytest.FixtureRequest) -> Iterator[Template]:
    server: Postgres | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
    with folder_in_memory() as folder:
        yield Template.make(Path(folder), server)


def test_in_the_end_the_ledger_is_the_journals(template: Template) -> None:
    machine = type("Machine", (Machine,), {"template": template})
    runs = RUNS or RUNS_IN_CI["postgresql" if template.server else "sqlite"]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            derandomize=not RUNS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if RUNS else [])],
        ),
    )
