"""The world of `whole_world` with taxis: drivers settle and take back, an office takes back too."""

import datetime
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import sqlalchemy as sa

from edge.panel import FareAnswer
from edge.ride import Ref
from fleet import rides, usage
from fleet.grants import Role
from fleet.store import open_fleet
from programmes import taxi
from tests.fleet.ride_kit import TAXI, Cab, add_rider, add_table, taxi_fleet
from tests.fleet.test_reconcile import build
from tests.fleet.whole_world import Sending, Template, World
from tests.real_postgres import Postgres
from wire.codes import Code, Outcome
from wire.entries import Cancel, Entry, JournalId, Ride, decode

CABS: Final = ("taxi-1", "taxi-2", "taxi-3")
LIMITS: Final[dict[str, Any]] = {
    "rides_per_day": 2,
    "rides_per_year": 3,
    "yen_per_year": 1_900,
    "from_time": datetime.time(0),
    "to_time": datetime.time(23, 59),
}
"""So small that allowances are soon used up, and a balance is cut."""


class Paid(NamedTuple):
    """What a table pays."""

    percent: int
    cap_yen: int
    each_yen: int


TABLES: Final = {
    "taxi/a": Paid(50, 1_000, 500),
    "taxi/b": Paid(40, 600, 300),
    "taxi/c": Paid(100, 1_500, 700),
}
"""Each begins on the first day and takes the place of the one before; the limits stay."""


def _rules(version: str) -> dict[str, Any]:
    paid = TABLES[version]
    return {
        "solo_percent": paid.percent,
        "solo_cap_yen": paid.cap_yen,
        "shared_each_yen": paid.each_yen,
        **LIMITS,
    }


class RideTemplate(Template):
    """A town with taxis, members and limits."""

    @classmethod
    def make(cls, folder: Path, server: Postgres | None) -> "RideTemplate":
        database = server.empty() if server else ""
        fleet = taxi_fleet(folder, server.url(database) if server else "", CABS, **LIMITS)
        add_table(fleet, folder, "taxi/a", **_rules("taxi/a"))
        cards = [add_rider(fleet, number) for number in ("1", "2", "3", "4", "5")]
        build(fleet)
        fleet.close()
        return cls(folder, fleet.town, cards, server, database)

    def open(self, folder: Path, workers: int) -> "RideWorld":
        return RideWorld(folder, self, workers)


class SendingCab(Cab, Sending):
    """A cab with a network."""

    def begin(self) -> None:
        super().begin()
        self.connect()

    def end(self) -> None:
        Sending.end(self)


class Told(NamedTuple):
    """What a usage file rests on: the ledger as it was then."""

    entries: frozenset[Ref]
    taken_back: frozenset[Ref]
    """Rides."""
    rides: dict[Ref, Ride]


NOTHING: Final = Told(frozenset(), frozenset(), {})


class RideWorld(World):
    """All of it."""

    programme: ClassVar = TAXI
    names: ClassVar = CABS

    def __init__(self, folder: Path, template: Template, workers: int) -> None:
        self._folder = folder
        self.cabs: list[SendingCab] = []
        self.answers: dict[Ref, FareAnswer] = {}
        """What riders saw when their ride was kept."""
        self.rosters = 1
        self._tables = list(TABLES)[1:]
        self._told: dict[tuple[str, int], Told] = {}
        super().__init__(folder, template, workers)

    def _reader(self, name: str, folder: Path) -> Sending:
        cab = SendingCab(self.fleet.reader(name), folder, self.clock, self._roster(name))
        self.cabs.append(cab)
        return cab

    # --- in the cab ------------------------------------------------------------------------------

    def tap(self, cab: SendingCab, card: str) -> None:
        """Let a card be held; what the reader counts must be all that it can know."""
        counted = cab.used(card)
        for period, used in counted.used.items():
            times, yen, doubly = self._known_to(cab, card, period)
            assert abs(used.times - times) <= doubly, (period, used, times)
            assert doubly or used.yen == yen, (period, used, yen)
        code = cab.tap(card)
        assert code in (Code.OK, Code.REPEAT, Code.USED_UP, Code.STALE)

    def _known_to(self, cab: SendingCab, card: str, period: str) -> tuple[int, int, int]:
        """Return rides and yen of a card, by its cab's own entries and the file that it holds.

        And how many of these rides were taken back by office and driver both, of which the reader
        does not know before the ledger has its own entry too.
        """
        place = cab.virtual.name.partition("/")[2]
        told = self._told[place, cab.held.at_ms] if cab.held else NOTHING
        own = cab.kept
        cancels = {
            (JournalId(one.of_journal), one.of_n): ref
            for ref, one in own.items()
            if isinstance(one, Cancel)
        }
        mine = {ref: one for ref, one in own.items() if isinstance(one, Ride)}
        times = yen = doubly = 0
        for ref, ride in (told.rides | mine).items():
            if ref in cancels or ref in told.taken_back:
                waits = ref in cancels and cancels[ref] not in told.entries
                doubly += ref in told.taken_back and waits
            elif ride.outcome is Outcome.ACCEPTED and period in taxi.periods(ride.boarded_at_ms):
                for rider in ride.riders:
                    if rider.credential == card:
                        times, yen = times + 1, yen + rider.subsidy_yen
        return times, yen, doubly

    def settle(self, cab: SendingCab, yen: int) -> Ref | None:
        """Type a fare: what is shown first is what is kept then."""
        shown, kept = cab.fare(yen, keep=False), cab.fare(yen)
        if not kept.n:
            assert kept.refused == "changed"
            return None
        assert shown.subsidies_yen == kept.subsidies_yen
        ref = JournalId(kept.journal), kept.n
        self.answers[ref] = kept
        return ref

    # --- in the fleet ----------------------------------------------------------------------------

    def feed(self) -> None:
        super().feed()
        told: Told | None = None
        for cab in self.cabs:
            place = cab.virtual.name.partition("/")[2]
            if cab.held and (place, cab.held.at_ms) not in self._told:
                told = told or self._as_it_is()
                self._told[place, cab.held.at_ms] = told

    def _as_it_is(self) -> Told:
        stored = self.fleet.stored()
        entries = {(JournalId(name), n): decode(body) for (name, n), body in stored.items()}
        return Told(
            frozenset(entries),
            frozenset(self.taken_back()),
            {ref: one for ref, one in entries.items() if isinstance(one, Ride)},
        )

    def taken_back(self) -> Counter[Ref]:
        """Return the rides that the ledger has taken back, and how often."""
        rows = self.fleet.rows(
            "select j.journal, r.n from ride r join journal j on j.id = r.journal_id "
            "join ride b on b.of_id = r.id"
        )
        return Counter((JournalId(name), n) for name, n in rows)

    def office_takes_back(self, at: int) -> None:
        """Take a ride back at the office, whoever did so before."""
        store = open_fleet(self.fleet.config.databases, Role.OFFICE)
        try:
            with store.write() as connection:
                found = sa.text("select id from ride where kind = 'ride' order by id")
                numbers = list(connection.scalars(found))
                if numbers:
                    number, now_ms = numbers[at % len(numbers)], self.fleet.clock.now_ms()
                    booked = rides.take_back(connection, number, now_ms, "clerk", "a test")
                    usage.count(connection, booked)
        finally:
            store.close()

    def change_rules(self) -> None:
        """Let another table be in force, and make a roster of it."""
        if self._tables:
            version = self._tables.pop(0)
            add_table(self.fleet, self._folder, version, **_rules(version))
            build(self.fleet)
            self.rosters += 1

    def adopt(self, cab: SendingCab) -> None:
        """Let a reader take the newest roster."""
        cab.roster = self._roster(cab.virtual.name.partition("/")[2], self.rosters)

    # --- the end ---------------------------------------------------------------------------------

    def judge(self) -> None:
        """Rows of rides are the rides of the journals, less what was taken back, to the yen."""
        super().judge()
        entries: dict[Ref, Entry] = {}
        for cab in self.cabs:
            entries |= cab.entries()
        settled = {ref: one for ref, one in entries.items() if isinstance(one, Ride)}
        cancels = {
            (JournalId(one.of_journal), one.of_n)
            for one in entries.values()
            if isinstance(one, Cancel)
        }
        taken_back = self.taken_back()
        assert max(taken_back.values(), default=1) == 1
        assert cancels & settled.keys() <= taken_back.keys() <= settled.keys()
        self._rows_are(settled)
        stands = {ref: one for ref, one in settled.items() if ref not in taken_back}
        owed = "select coalesce(sum(subsidy_yen), 0), coalesce(sum(riders_pay_yen), 0) from ride"
        paid = [one.subsidy_yen for one in stands.values()]
        self._expect(owed, [(sum(paid), sum(one.riders_pay_yen for one in stands.values()))])
        self._usage_is(stands)
        for ref, ride in settled.items():
            self._is_within(ride)
            assert ride.riders_pay_yen == self.answers[ref].riders_pay_yen, "billed afterwards"
        self._expect(
            "select e.kind, e.outcome from finding f join entry e on e.journal_id = f.journal_id "
            "and e.n = f.n where e.kind = 'tap' and e.outcome = 'accepted'",
            [],
        )

    def _rows_are(self, settled: dict[Ref, Ride]) -> None:
        rows = self.fleet.rows(
            "select j.journal, r.n, r.outcome, r.rule, r.fare_yen, r.subsidy_yen, r.riders_pay_yen "
            "from ride r join journal j on j.id = r.journal_id where r.kind = 'ride'"
        )
        assert sorted(rows) == sorted(
            (*ref, one.outcome, one.rule, one.fare_yen, one.subsidy_yen, one.riders_pay_yen)
            for ref, one in settled.items()
        )

    def _usage_is(self, stands: dict[Ref, Ride]) -> None:
        """Count what members have used from the journals alone."""
        used: dict[tuple[str, str], tuple[int, int]] = {}
        for ride in stands.values():
            for rider in ride.riders:
                for period in taxi.periods(ride.boarded_at_ms):
                    key = (period, rider.credential)
                    times, yen = used.get(key, (0, 0))
                    used[key] = (times + 1, yen + rider.subsidy_yen)
        rows = self.fleet.rows("select period, credential, times, yen from usage where times <> 0")
        assert {(period, card): (times, yen) for period, card, times, yen in rows} == used

    def _is_within(self, ride: Ride) -> None:
        paid = TABLES[ride.rule]
        most = paid.cap_yen if len(ride.riders) == 1 else paid.each_yen
        assert all(rider.subsidy_yen <= most for rider in ride.riders)
        assert ride.subsidy_yen <= ride.fare_yen
        for rider in ride.riders:
            year = rider.used[taxi.periods(ride.boarded_at_ms)[1]]
            assert rider.subsidy_yen + year.yen <= LIMITS["yen_per_year"]
