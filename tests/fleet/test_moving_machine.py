"""Whoever taps where, before, during and after a campaign, with readers that come back late.

One member's history stays together, nothing counts twice, and no honest reader is called a liar.
Hypothesis draws the steps, in CI the same at each run; KAZASU_MACHINE_RUNS=200 draws others.
"""

import datetime
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, Final

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fleet import campaigns, terms, usage
from fleet.schema import card, member
from programmes.calendar import local_day
from tests.fleet.moving_kit import (
    DAY_MS,
    NEW,
    OLD,
    PASS,
    Rider,
    credential_of,
    enrol,
    is_counted,
    whose,
)
from tests.fleet.test_reconcile import findings
from tests.fleet.virtual import VirtualFleet, make_fleet, on_rosters
from tests.fleet.whole_world import folder_in_memory
from tests.real_postgres import Postgres
from wire.entries import Tap

RUNS: Final = int(os.environ.get("KAZASU_MACHINE_RUNS", "0"))
"""0: the few runs of CI."""
RUNS_IN_CI: Final = {"sqlite": 12, "postgresql": 4}
STEPS: Final = 40
MEMBERS: Final = st.integers(1, 3)
READERS: Final = st.integers(0, 1)
WINDOW_MS: Final = 120_000
"""Of the senior pass, where its table says nothing else."""


class Machine(RuleBasedStateMachine):
    """One town from the day before a campaign to the day when every reader has come back."""

    make: ClassVar[Callable[[], AbstractContextManager[VirtualFleet]]]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.taps: list[tuple[int, int, Tap]] = []
        """Reader, member, and what was written down."""

    @initialize()
    def begin(self) -> None:
        self.fleet = self._stack.enter_context(type(self).make())
        for number in (1, 2, 3):
            enrol(self.fleet, number)
        self.riders = [Rider(self.fleet, name) for name in ("bus-1", "bus-2")]
        for rider in self.riders:
            self._stack.callback(rider.close)
            rider.pull()

    def _runs(self) -> bool:
        with self.fleet.people.read() as connection:
            found = terms.latest(connection).get(PASS)
        return bool(found and found.is_running and found.until >= self._day())

    def _day(self) -> datetime.date:
        return local_day(self.fleet.clock.now_ms())

    # --- at the readers --------------------------------------------------------------------------

    @rule(
        reader=READERS,
        number=MEMBERS,
        apdus=st.lists(st.sampled_from([99, 99, 2, 3, 1]), min_size=1, max_size=4),
        pause_s=st.sampled_from([1, 30, 600]),
    )
    def tap(self, reader: int, number: int, apdus: list[int], pause_s: int) -> None:
        """Hold a card, perhaps several times, each time for so many commands."""
        for some in apdus:
            self.taps.append((reader, number, self.riders[reader].tap(number, some)))
            self.fleet.clock.pass_s(pause_s)

    @rule(reader=READERS)
    def pull(self, reader: int) -> None:
        self.riders[reader].pull()

    @rule(reader=READERS)
    def send(self, reader: int) -> None:
        self.riders[reader].send()

    @rule(days=st.integers(1, 2))
    def pass_days(self, days: int) -> None:
        self.fleet.clock.pass_s(days * DAY_MS / 1000)

    # --- in the office ---------------------------------------------------------------------------

    @precondition(lambda self: not self._runs())
    @rule(days=st.integers(0, 6), hear=st.booleans())
    def start(self, days: int, hear: bool) -> None:
        until = self._day() + datetime.timedelta(days)
        options = ("--from", OLD.value, "--to", NEW.value, "--until", str(until))
        self.fleet.command("campaign", "start", PASS, *options)  # or refused: nobody is left
        for rider in self.riders if hear else ():
            rider.pull()

    @precondition(lambda self: self._runs())
    @rule()
    def stop(self) -> None:
        assert self.fleet.command("campaign", "stop", PASS, "it was too early") == 0

    @precondition(lambda self: self._runs())
    @rule(number=MEMBERS)
    def list_by_the_new_scheme(self, number: int) -> None:
        """A clerk enrols the very card by the new scheme, unless it is known by it already."""
        new = credential_of(self.fleet, number, NEW)
        at_ms = self.fleet.clock.now_ms()
        if new in whose(self.fleet):
            return
        with self.fleet.people.write() as connection:
            wanted = sa.select(member.c.id).where(member.c.registration_number == str(number))
            member_id = connection.execute(wanted).scalar_one()
            row = {
                "member_id": member_id,
                "programme": PASS,
                "credential": new,
                "scheme": NEW.value,
                "key_epoch": 1,
                "assigned_at_ms": at_ms,
                "assigned_by": "hana",
            }
            connection.execute(card.insert(), row)
            campaigns.replace_cards(connection, PASS, [member_id], "hana", at_ms)

    # --- in the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "riders"):
                for rider in self.riders:
                    rider.send()
                self._all_is_theirs()
                self._nothing_counts_twice()
                assert [one for one in findings(self.fleet) if one[1] == "replay"] == []
                self._after_the_deadline()
        finally:
            self._stack.close()

    def _all_is_theirs(self) -> None:
        """Each tap's credentials belong to who held the card, and usage is the sum of the taps."""
        owner = whose(self.fleet)
        for _, number, tap in self.taps:
            for name in (tap.credential, tap.older_credential):
                assert name is None or owner[name] == str(number)
        for number in (1, 2, 3):
            accepted = [tap for _, one, tap in self.taps if one == number and is_counted(tap)]
            cards = [name for name, whose_ in owner.items() if whose_ == str(number)]
            with self.fleet.store.read() as connection:
                at_ms = self.fleet.clock.now_ms()
                used = usage.of_member(connection, PASS, cards, at_ms)
            assert {one.times for one in used.values()} == {len(accepted)}

    def _nothing_counts_twice(self) -> None:
        """Within the window a reader lets nobody on again whom it can know.

        It cannot when it read the card by one scheme, then by the other, and never by both.
        """
        for reader in range(len(self.riders)):
            also: dict[str, set[str]] = {}
            counted: dict[int, Tap] = {}
            for number, tap in [(n, tap) for one, n, tap in self.taps if one == reader]:
                told = {name for name in (tap.credential, tap.older_credential) if name}
                for name in told:
                    also.setdefault(name, set()).update(told)
                known = told.union(*(also[name] for name in told))
                last = counted.get(number)
                if is_counted(tap) and last and tap.at_ms - last.at_ms < WINDOW_MS:
                    assert last.credential not in known
                if is_counted(tap):
                    counted[number] = tap

    def _after_the_deadline(self) -> None:
        """Whoever has moved is let on; whoever is missing is listed, and is not."""
        with self.fleet.people.read() as connection:
            found = terms.latest(connection).get(PASS)
        if found is None or not found.is_running:
            return
        after = found.until + datetime.timedelta(1)
        if self._day() < after:
            self.fleet.clock.pass_s((after - self._day()).days * DAY_MS / 1000)
        with self.fleet.people.read() as connection:
            missing = list(campaigns.missing(connection, PASS, OLD, self._day()))
        listed = {one.registration_number for one in missing}
        rows = {row.credential for row in on_rosters(self.fleet, self.fleet.clock.now_ms())}
        for number in (1, 2, 3):
            here = credential_of(self.fleet, number, NEW) in rows
            assert here != (str(number) in listed)
            assert credential_of(self.fleet, number, OLD) not in rows


@contextmanager
def _fleet(server: Postgres | None) -> Iterator[VirtualFleet]:
    with folder_in_memory() as name:
        databases = server.migrated(Path(name)) if server else None
        fleet = make_fleet(Path(name), database=databases.url if databases else "")
        try:
            yield fleet
        finally:
            fleet.close()
            if server and databases:
                server.drop(databases)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_members_history_stays_together_and_counts_once(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server: Postgres | None = request.getfixturevalue("postgres") if kind != "sqlite" else None
    machine = type("Machine", (Machine,), {"make": staticmethod(lambda: _fleet(server))})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=RUNS or RUNS_IN_CI[kind],
            stateful_step_count=STEPS,
            derandomize=not RUNS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, *([Phase.shrink] if RUNS else [])],
        ),
    )
