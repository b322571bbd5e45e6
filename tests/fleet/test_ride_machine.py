"""Whatever drivers, networks and offices do: what is paid is what was settled, to the yen.

The machine of `test_state_machine` with taxis (KAZASU_MACHINE_RUNS is described there).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test

from tests.fleet.ride_world import CABS, RideTemplate, RideWorld
from tests.fleet.test_state_machine import INDEX, READERS, RUNS, Machine
from tests.fleet.whole_world import folder_in_memory
from tests.real_postgres import Postgres

RUNS_IN_CI = {"sqlite": 12, "postgresql": 4}
STEPS = 40
CARDS = st.integers(0, 4)
FARES = st.sampled_from([0, 500, 740, 1_310, 2_000, 4_870, 9_990])
Trip = tuple[set[int], int, bool]
"""Who rides, what the meter says, and whether it was typed wrong."""
DRIVES = st.lists(
    st.tuples(st.sets(CARDS, min_size=1, max_size=3), FARES, st.booleans()), min_size=1, max_size=5
)


class RideMachine(Machine):
    """One world from its beginning to the moment when all has arrived."""

    template: ClassVar[RideTemplate]
    world: RideWorld

    @initialize(mornings=st.lists(DRIVES, min_size=len(CABS), max_size=len(CABS)))
    def begin(self, mornings: list[list[Trip]]) -> None:
        """All cabs have driven already, off line, and people have used most of what they may."""
        world = self._stack.enter_context(self.template.world())
        assert isinstance(world, RideWorld)
        self.world = world
        for reader, trips in enumerate(mornings):
            self.drive(reader, trips)

    # --- in the cab ------------------------------------------------------------------------------

    @rule(reader=READERS, cards=st.lists(CARDS, min_size=1, max_size=3))
    def tap(self, reader: int, cards: list[int]) -> None:
        for card in cards:
            self.world.tap(self.world.cabs[reader], self.template.cards[card])
            self.world.pass_s(1)

    @rule(reader=READERS, trips=DRIVES)
    def drive(self, reader: int, trips: list[Trip]) -> None:
        """A morning of a cab; now and then a fare is wrong, and taken back at once."""
        for cards, fare, wrong in trips:
            self.tap(reader, sorted(cards))
            self.world.pass_s(600)
            ref = self.world.settle(self.world.cabs[reader], fare)
            if ref and wrong:
                assert self.world.cabs[reader].cancel(ref) == ""

    @rule(reader=READERS, fare=FARES)
    def settle(self, reader: int, fare: int) -> None:
        self.world.settle(self.world.cabs[reader], fare)

    @rule(reader=READERS, at=INDEX)
    def take_off(self, reader: int, at: int) -> None:
        cab = self.world.cabs[reader]
        if aboard := cab.aboard():
            assert cab.take_off(aboard[at % len(aboard)]) == ""

    @precondition(lambda self: self.world.answers)
    @rule(reader=READERS, at=INDEX)
    def take_back(self, reader: int, at: int) -> None:
        """A ride of this cab, once; of another one never."""
        ref = list(self.world.answers)[at % len(self.world.answers)]
        cab = self.world.cabs[reader]
        done = cab.riding.ride(ref) is not None
        assert cab.cancel(ref) == ("" if done else "changed")
        assert cab.cancel(ref) == "changed"

    @rule(reader=READERS, driver=st.sampled_from(["7", "8"]), began=st.booleans())
    def shift(self, reader: int, driver: str, began: bool) -> None:
        assert self.world.cabs[reader].shift(driver, began=began) == ""

    @rule(reader=READERS)
    def restart_reader(self, reader: int) -> None:
        """A battery that is pulled takes nobody off the list."""
        cab = self.world.cabs[reader]
        aboard, driver = cab.aboard(), cab.riding.driver
        cab.end()
        cab.begin()
        assert (cab.aboard(), cab.riding.driver) == (aboard, driver)
        self.world.pass_s(1)

    @rule(reader=READERS)
    def adopt(self, reader: int) -> None:
        self.world.adopt(self.world.cabs[reader])

    # --- in the office ---------------------------------------------------------------------------

    @rule(at=st.lists(INDEX, min_size=1, max_size=3))
    def office_takes_back(self, at: list[int]) -> None:
        """What every cab has to send arrives, and a clerk takes some of it back."""
        for reader in range(len(CABS)):
            self.give_up_waiting(reader)
        group, self.world.up = self.world.up, []
        if group:
            self.world.take(0, group)
        for one in at:
            self.world.office_takes_back(one)

    @precondition(lambda self: self.world.backup is None)
    @rule()
    def change_rules(self) -> None:
        self.world.change_rules()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def template(request: pytest.FixtureRequest) -> Iterator[RideTemplate]:
    server: Postgres | None = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
    with folder_in_memory() as folder:
        yield RideTemplate.make(Path(folder), server)


def test_in_the_end_what_is_paid_is_what_was_settled(template: RideTemplate) -> None:
    machine = type("RideMachine", (RideMachine,), {"template": template})
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
